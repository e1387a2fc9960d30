package cli

import (
	"context"
	"fmt"
	"runtime"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
)

// versionCmd is `ruedo version`.
type versionCmd struct {
	ShowConfig bool `help:"Show every setting with its value and where it came from."`
}

func (*versionCmd) Examples() []string {
	return []string{"ruedo version", "ruedo version --show-config", "ruedo version --show-config -o json"}
}

// coreWait bounds the time that version waits for a core.
const coreWait = 300 * time.Millisecond

// versionLine says which program this is.
func versionLine() string {
	return fmt.Sprintf("ruedo %s (%s, %s/%s)", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (c *versionCmd) Run(s *session.Session) error {
	type core struct {
		URL     string `json:"url"`
		Version string `json:"version"`
		Cluster string `json:"cluster_id"`
	}
	shown := struct {
		Version  string             `json:"version"`
		Go       string             `json:"go"`
		Platform string             `json:"platform"`
		Core     *core              `json:"core,omitempty"`
		File     string             `json:"config_file,omitempty"`
		Profile  string             `json:"profile,omitempty"`
		Settings []settings.Setting `json:"settings,omitempty"`
	}{
		Version:  version(),
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if s.Print.Format == output.Name {
		return s.Printf("%s", shown.Version)
	}
	ctx, cancel := context.WithTimeout(s.Ctx, coreWait)
	defer cancel()
	if c, err := s.Remote(ctx); err == nil && c != nil {
		if status, err := c.Cluster.GetStatus(ctx, &ruedov1.GetStatusRequest{}); err == nil {
			shown.Core = &core{s.URL(c), status.GetCore().GetVersion(), status.GetClusterId()}
		}
	}
	if c.ShowConfig {
		shown.File, shown.Profile, shown.Settings = s.Settings.File, s.Settings.Used(), s.Settings.List()
	}
	if !s.Print.ForPeople() {
		return s.Print.Value(shown)
	}
	if err := s.Printf("%s", versionLine()); err != nil {
		return err
	}
	if shown.Core != nil {
		if err := s.Printf("core %s at %s, cluster %s", output.Safe(shown.Core.Version), shown.Core.URL, output.Safe(shown.Core.Cluster)); err != nil {
			return err
		}
	}
	if !c.ShowConfig {
		return nil
	}
	file := shown.File
	if file == "" {
		file = "none"
	}
	if p := s.Settings.Profile; p != nil {
		file += fmt.Sprintf("\nprofile: %s (from %s)", p.Name, p.Origin)
	}
	if err := s.Printf("config file: %s\n", file); err != nil {
		return err
	}
	var rows [][]string
	if !s.Print.NoHeaders {
		rows = append(rows, []string{"SETTING", "VALUE", "FROM"})
	}
	for _, s := range shown.Settings {
		value := output.Safe(s.Value)
		if value == "" {
			value = "-"
		}
		rows = append(rows, []string{s.Name, value, s.Origin})
	}
	return s.Print.Rows(rows)
}
