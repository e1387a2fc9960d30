package source

import (
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/derive"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Overlay is what flags or a YAML document say of a service, over what its
// directory says. Zero fields change nothing.
type Overlay struct {
	Description string
	// Tags and Decorators are added, unless they are there already.
	Tags, Decorators []string
	// Args replace the arguments if not nil.
	Args []string
	// Env is merged; its values win.
	Env       map[string]string
	Isolation ruedov1.Isolation
	Placement string
	// Example is as project.Service has it; files are relative to Dir. [SetExample]
	// sets it when the kind of the service is known.
	Example any
	Dir     string
	// Routes replace those of the directory if there are any.
	Routes []*ruedov1.Route
	// InputSchema and OutputSchema replace what the types say.
	InputSchema, OutputSchema map[string]any
	// Listing is of the last time that the directory was built; nil if it is built once.
	Listing *derive.Listing
}

// Apply lays o over a request, except for the example.
func (o Overlay) Apply(r *ruedov1.PublishServiceRequest) error {
	if o.Description != "" {
		r.Description = o.Description
	}
	r.Tags = once(append(r.Tags, o.Tags...))
	r.Decorators = once(append(r.Decorators, o.Decorators...))
	if o.Args != nil {
		r.Args = o.Args
	}
	if len(o.Env) > 0 && r.Env == nil {
		r.Env = make(map[string]string)
	}
	for k, v := range o.Env {
		r.Env[k] = v
	}
	if o.Isolation != ruedov1.Isolation_ISOLATION_UNSPECIFIED {
		r.Isolation = o.Isolation
	}
	if o.Placement != "" {
		r.Placement = o.Placement
	}
	for to, schema := range map[**structpb.Struct]map[string]any{&r.InputSchema: o.InputSchema, &r.OutputSchema: o.OutputSchema} {
		if schema == nil {
			continue
		}
		made, err := structpb.NewStruct(schema)
		if err != nil {
			return fault.Wrap(err, fault.SchemaInvalid, "the schema is not JSON: %s", err)
		}
		*to = made
	}
	if len(o.Routes) > 0 {
		r.Routes = o.Routes
	}
	return nil
}

// once returns a list with each of its items once, where it comes first.
func once(list []string) []string {
	var items []string
	for _, item := range list {
		if !slices.Contains(items, item) {
			items = append(items, item)
		}
	}
	return items
}
