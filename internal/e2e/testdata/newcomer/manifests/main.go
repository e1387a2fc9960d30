// Command manifests reads a YAML manifest and answers with it as JSON.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/ruedo-dev/ruedo/sdk"
)

// Input is what a call brings.
type Input struct {
	YAML string `json:"yaml"`
	// Strict refuses keys that a manifest does not have.
	Strict bool `json:"strict,omitempty"`
}

// Manifest says what is deployed where.
type Manifest struct {
	Name     string            `json:"name" yaml:"name"`
	Stage    Stage             `json:"stage" yaml:"stage"`
	Replicas int               `json:"replicas" yaml:"replicas"`
	Timeout  Duration          `json:"timeout" yaml:"timeout"`
	Labels   map[string]string `json:"labels,omitempty" yaml:"labels"`
	Ports    []Port            `json:"ports,omitempty" yaml:"ports"`
}

// Port is a port with a name.
type Port struct {
	Name   string `json:"name" yaml:"name"`
	Number int    `json:"number" yaml:"number"`
}

// Stage is where a manifest belongs.
type Stage string

// UnmarshalText accepts the stages that there are.
func (s *Stage) UnmarshalText(b []byte) error {
	switch Stage(b) {
	case "test", "live":
		*s = Stage(b)
		return nil
	}
	return fmt.Errorf("stage %q is neither test nor live", b)
}

// Duration is written as in Go, such as 1m30s.
type Duration time.Duration

// UnmarshalText parses a duration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// MarshalText formats a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func init() { sdk.Handle(read) }

func read(ctx context.Context, in Input) (Manifest, error) {
	var opts []yaml.DecodeOption
	if in.Strict {
		opts = append(opts, yaml.DisallowUnknownField())
	}
	var m Manifest
	if err := yaml.UnmarshalWithOptions([]byte(in.YAML), &m, opts...); err != nil {
		slog.WarnContext(ctx, "cannot be read", "size", len(in.YAML))
		return Manifest{}, sdk.Errorf(sdk.InvalidArgument, "%s", yaml.FormatError(err, false, true))
	}
	if m.Name == "" {
		return Manifest{}, sdk.Errorf(sdk.InvalidArgument, "a manifest without a name")
	}
	slog.InfoContext(ctx, "read", "name", m.Name, "ports", len(m.Ports))
	return m, nil
}

func main() { sdk.Main() }
