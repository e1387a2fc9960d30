package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// createCmd is `ruedo create`.
type createCmd struct {
	Decorator createDecoratorCmd `cmd:"" help:"Create a decorator."`
}

func (*createCmd) Examples() []string {
	return []string{"ruedo create decorator small --limit memory=32MiB,timeout=1s"}
}

type createDecoratorCmd struct {
	Name string `arg:"" help:"Name of the decorator."`

	Schema string `placeholder:"JSON" help:"JSON Schema (2020-12) of the input, or @FILE, or @- for stdin."`
	limitFlags

	Idempotent  bool     `help:"A call may be executed again when it is unknown whether it was."`
	Description string   `placeholder:"TEXT" help:"What it is for."`
	Tag         []string `placeholder:"TAG" sep:"none" help:"Tag. May be repeated."`
}

func (*createDecoratorCmd) Examples() []string {
	return []string{
		"ruedo create decorator small --limit memory=32MiB,timeout=1s",
		"ruedo create decorator order-input --schema @order.schema.json",
		`ruedo create decorator named --schema '{"type":"object","required":["name"]}'`,
	}
}

func (c *createDecoratorCmd) Run(a *app) error {
	d := &project.Decorator{
		Name:        c.Name,
		Description: c.Description,
		Tags:        c.Tag,
		Limits:      c.limits(),
		Policy:      project.Policy{Idempotent: c.Idempotent},
	}
	decorator, err := d.Proto()
	if err != nil {
		return err
	}
	if c.Schema != "" {
		if decorator.InputSchema, err = a.readSchema(c.Schema); err != nil {
			return about(err, "decorator %s", c.Name)
		}
	}
	core, err := a.connect()
	if err != nil {
		return err
	}
	res, err := core.Decorators.CreateDecorator(a.ctx, &ruedov1.CreateDecoratorRequest{Decorator: decorator})
	if err != nil {
		return about(err, "decorator %s", c.Name)
	}
	if done, err := a.plain(res.GetDecorator(), c.Name); done {
		return err
	}
	return a.say("created decorator %s", c.Name)
}

// readSchema reads a JSON Schema: inline, @FILE or @-.
func (a *app) readSchema(text string) (*structpb.Struct, error) {
	data, where := []byte(text), "--schema"
	if name, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if name == "-" {
			data, err = io.ReadAll(a.in)
		} else {
			data, err = os.ReadFile(name)
		}
		if err != nil {
			return nil, fileError(err, "cannot read", name)
		}
		where = name
	}
	var object map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&object); err != nil || object == nil || dec.More() {
		return nil, fault.Wrap(err, fault.SchemaInvalid, "%s is not a JSON object%s", where, syntax(err)).
			WithFix(`--schema '{"type":"object"}', or --schema @FILE`)
	}
	schema, err := structpb.NewStruct(object)
	if err != nil {
		return nil, fault.Wrap(err, fault.SchemaInvalid, "%s is not JSON: %s", where, err)
	}
	return schema, nil
}

// syntax says where JSON is broken.
func syntax(err error) string {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf(": %s at byte %d", e, e.Offset)
	}
	return ""
}

// plain writes a message for -o json, yaml and name. done is false where a
// table is wanted.
func (a *app) plain(m proto.Message, name string) (done bool, err error) {
	switch {
	case a.print.Format == output.Name:
		return true, a.say("%s", name)
	case !a.print.ForPeople():
		return true, a.print.Message(m)
	}
	return false, nil
}
