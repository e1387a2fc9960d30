package reference

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/cases"
	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/route"
)

func serviceFile() (page.Page, error) {
	table, err := keys(project.Service{}, &ruedov1.PublishServiceRequest{})
	if err != nil {
		return page.Page{}, err
	}
	requests, err := keys(project.Request{}, nil)
	if err != nil {
		return page.Page{}, err
	}
	routes, err := keys(project.Route{}, nil)
	return page.Page{
		Name: "service-file", Title: "The service file: " + project.ServiceFile,
		Parts: []page.Part{
			page.Text("`" + project.ServiceFile + "` in the directory of a service says what `ruedo publish` makes of it. Every key can be left out, and so can the file. " +
				"Unknown keys are refused, with the line and the key that was meant. [Writing services](../services.md) is the guide."),
			table,
			page.Heading("Example"),
			page.Code{Language: "yaml", Text: project.ServiceExample},
			page.Heading("example, for kind http"),
			page.Text("A service of kind http takes requests, so its example is a request, or a list of at most 16 of them. Each warms the service up and checks it. " +
				"[Services that speak HTTP](../http.md) is the guide."),
			requests,
			page.Heading("routes"),
			page.Text("A service of kind http is served under `/svc/NAME/`, and under its routes. A route with the host of a request comes before one without a host; then the longest path wins. " +
				"A publish is refused if another service has the same host and path, with a method in common. `ruedo publish --route '" + route.Example + "'` is the same on the command line."),
			routes,
			page.Code{Language: "yaml", Text: project.RequestExample},
		},
	}, err
}

func decoratorFile() (page.Page, error) {
	table, err := keys(project.Decorator{}, &ruedov1.Decorator{})
	if err != nil {
		return page.Page{}, err
	}
	policy, err := keys(project.Policy{}, nil)
	if err != nil {
		return page.Page{}, err
	}
	grants, err := keys(project.Grants{}, nil)
	return page.Page{
		Name: "decorator-file", Title: "The decorator file: " + project.DecoratorsFile,
		Parts: []page.Part{
			page.Text("`" + project.DecoratorsFile + "` next to `" + project.ServiceFile + "` defines decorators, which `ruedo publish` writes together with the service. " +
				"It has any number of documents, separated by `---`. `ruedo apply -f` reads the same [documents](documents.md). A document is the whole decorator: " +
				"what it leaves out is removed. Unknown keys are refused. [Decorators](../decorators.md) is the guide."),
			table,
			page.Heading("limits"),
			page.Text("A size is written as `64MiB`, `1.5GiB` or `500kB`, a duration as `2s` or `1m30s`. A limit has the same name in `ruedo create decorator --limit NAME=VALUE`, " +
				"in what `ruedo describe` shows and in errors, which name the decorator that set it. A limit that is missing or 0 is not set."),
			limitFields(),
			page.Heading("policy"),
			policy,
			page.Heading("grants"),
			grants,
			page.Heading("Example"),
			page.Code{Language: "yaml", Text: project.DecoratorExample},
		},
	}, err
}

func casesFile() (page.Page, error) {
	table, err := keys(cases.Case{}, nil)
	return page.Page{
		Name: "cases-file", Title: "The file of example calls: cases.yaml",
		Parts: []page.Part{
			page.Text(fmt.Sprintf("`ruedo check --calls FILE` makes calls in the sandbox that runners have, with the schemas and limits of the decorators next to the service, and compares what they return. "+
				"`calls` is a list of at most %d calls; each of them has:", cases.Max)),
			table,
			page.Heading("Example"),
			page.Code{Language: "yaml", Text: cases.Example},
		},
	}, err
}

// becomes are the messages that documents of a kind become.
var becomes = map[string]proto.Message{
	project.KindService:   &ruedov1.PublishServiceRequest{},
	project.KindDecorator: &ruedov1.Decorator{},
}

func documents(nouns []*verb.Noun) (page.Page, error) {
	p := page.Page{
		Name: "documents", Title: "Documents for ruedo apply",
		Parts: []page.Part{
			page.Text("`ruedo apply -f FILE` reads YAML documents, separated by `---`; `-` is stdin. Each states its kind. All are checked before the first is written. " +
				"A document is the whole resource: what it leaves out is removed, and unknown keys are refused. " +
				"`ruedo diff -f FILE` shows what would change, and `ruedo get KIND NAME -o yaml` prints what is there as a document."),
		},
	}
	for _, n := range nouns {
		if n.Apply == nil {
			continue
		}
		table, err := keys(n.Apply.Document, becomes[n.Apply.Kind])
		if err != nil {
			return page.Page{}, fmt.Errorf("%s: %w", n.Apply.Kind, err)
		}
		p.Parts = append(p.Parts, page.Heading(n.Apply.Kind))
		if n.Apply.About != "" {
			p.Parts = append(p.Parts, page.Text(n.Apply.About))
		}
		p.Parts = append(p.Parts, table, page.Code{Language: "yaml", Text: n.Apply.Example})
	}
	return p, nil
}
