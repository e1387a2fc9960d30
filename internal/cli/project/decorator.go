package project

import (
	"errors"
	"io/fs"
	"path/filepath"

	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/grant"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// KindDecorator is the kind of a document that describes a decorator.
const KindDecorator = "Decorator"

// Decorator is one document of decorators.yaml.
type Decorator struct {
	Kind        string         `yaml:"kind" enum:"Decorator" required:"" help:"What the document describes."`
	Name        string         `yaml:"name" required:"" help:"Name of the decorator, by which services carry it."`
	Description string         `yaml:"description" help:"What the decorator is for."`
	Tags        []string       `yaml:"tags" help:"Words to filter lists by."`
	InputSchema map[string]any `yaml:"input_schema" type:"JSON Schema (2020-12)" default:"any input" help:"What every input must match; others are refused before a runner sees them. References stay within the schema."`
	Limits      Limits         `yaml:"limits" type:"mapping" help:"Limits of a call; see below. Of several decorators, the strictest value holds."`
	Policy      Policy         `yaml:"policy" help:"How calls may be handled; see below."`
	Grants      Grants         `yaml:"grants" help:"What the services that carry it may do beyond their sandbox; see below. Those of several decorators add up."`
}

// Grants are what services may do beyond their sandbox.
type Grants struct {
	Egress []string `yaml:"egress" default:"nothing" help:"What they may connect to, each as \"[METHODS ]SCHEME://HOST[:PORT][ to RANGES]\": for example \"GET,POST https://api.example.com\" or \"tcp://10.20.0.0/16:22\". SCHEME is http, https, tcp, tls or udp; [egress](../egress.md) says the rest."`
}

// Policy says how calls may be handled.
type Policy struct {
	Idempotent        bool `yaml:"idempotent" default:"false" help:"A call may be executed again if it is unknown whether it was executed, for example because its runner was lost."`
	PassAuthorization bool `yaml:"pass_authorization" default:"false" help:"A service of kind http sees the header field Authorization of its requests, if everybody may call it (ruedo grant anonymous); what looks like a token of Ruedo never reaches it. For services with users of their own."`
}

// stored returns the policy as the API takes it; nil if it says nothing.
func (p Policy) stored() *ruedov1.CallPolicy {
	if p == (Policy{}) {
		return nil
	}
	return &ruedov1.CallPolicy{Idempotent: p.Idempotent, PassAuthorization: p.PassAuthorization}
}

// policyFields returns what a document says of a policy, by its keys; none if that is
// nothing.
func policyFields(p *ruedov1.CallPolicy) map[string]any {
	set := map[string]any{}
	if p.GetIdempotent() {
		set["idempotent"] = true
	}
	if p.GetPassAuthorization() {
		set["pass_authorization"] = true
	}
	return set
}

// Decorators reads DIR/decorators.yaml. It returns nil if there is no such file.
func Decorators(dir string) ([]*ruedov1.Decorator, error) {
	path := filepath.Join(dir, DecoratorsFile)
	data, err := yamlfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "%s cannot be read: %s", path, text.Cause(err))
	}
	docs, err := yamlfile.All(path, data)
	if err != nil {
		return nil, err
	}
	var list []*ruedov1.Decorator
	for _, doc := range docs {
		if kind := doc.Field("kind"); kind != KindDecorator {
			return nil, doc.Errorf("kind is %q: Decorator is expected", kind)
		}
		d, err := ReadDecorator(doc)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// ReadDecorator reads one document of kind Decorator.
func ReadDecorator(doc yamlfile.Document) (*ruedov1.Decorator, error) {
	var d Decorator
	if err := doc.Decode(&d); err != nil {
		return nil, err
	}
	p, err := d.Proto()
	if err != nil {
		e := doc.Errorf("%s", err)
		e.Fix = fault.FromError(err).Fix
		return nil, e
	}
	return p, nil
}

// Proto returns the decorator as the API takes it.
func (d *Decorator) Proto() (*ruedov1.Decorator, error) {
	if err := CheckName("decorator", d.Name); err != nil {
		return nil, err
	}
	p := &ruedov1.Decorator{Name: d.Name, Description: d.Description, Tags: d.Tags}
	if d.InputSchema != nil {
		schema, err := structpb.NewStruct(d.InputSchema)
		if err != nil {
			return nil, fault.Wrap(err, fault.SchemaInvalid, "input_schema is not JSON: %s", err)
		}
		p.InputSchema = schema
	}
	limits, err := d.Limits.Proto()
	if err != nil {
		return nil, err
	}
	p.Limits, p.Policy = limits, d.Policy.stored()
	egress, err := grant.Canonical(d.Grants.Egress)
	if err != nil {
		return nil, err
	}
	if egress != nil {
		p.Grants = &ruedov1.Grants{Egress: egress}
	}
	return p, nil
}
