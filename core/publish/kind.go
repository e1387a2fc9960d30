package publish

import (
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxExamples bounds the examples of a service of kind http, in bytes, together.
const maxExamples = 64 << 10

// checkKind returns REQUEST_INVALID if a revision has what services of its kind do
// not have.
func checkKind(rev *ruedov1.Revision) error {
	service := rev.GetService()
	invalid := func(fix, format string, args ...any) error {
		return fault.New(fault.RequestInvalid, format, args...).With("service", service).WithFix("%s", fix)
	}
	if rev.GetKind() != ruedov1.Kind_KIND_HTTP {
		switch {
		case len(rev.GetHttpExamples()) > 0:
			return invalid("give it the input of a call as its example", "the example of service %s is a request of HTTP, but its module is not of kind http", service)
		case len(rev.GetRoutes()) > 0:
			return invalid("remove the routes; POST /call/"+service+" calls it", "service %s has routes, but its module is not of kind http", service)
		}
		return nil
	}
	size := 0
	for _, e := range rev.GetHttpExamples() {
		size += proto.Size(e)
	}
	switch {
	case len(rev.GetExample()) > 0:
		return invalid(exampleFix, "service %s is of kind http, so its example is a request, not the input of a function", service)
	case rev.GetInputSchema() != nil || rev.GetOutputSchema() != nil:
		return invalid("remove the schemas, and check requests in the handler", "service %s is of kind http and can have no schemas: they are for the inputs and outputs of functions", service)
	case size > maxExamples:
		return fault.New(fault.RequestInvalid, "the examples of service %s take %d bytes, over the limit of %d", service, size, maxExamples).
			With("service", service, "limit", maxExamples, "actual", size).WithFix("shorten their bodies")
	}
	return nil
}

// exampleFix says how an example is written.
const exampleFix = "write it as example: {method: GET, path: /}"

// unwarmed warns of a service of kind http that nothing warms up.
func unwarmed(rev *ruedov1.Revision) []string {
	if rev.GetKind() != ruedov1.Kind_KIND_HTTP || len(rev.GetHttpExamples()) > 0 {
		return nil
	}
	return []string{"service " + rev.GetService() + " has no example, so each call repeats the work of a first one, which can take several times as long; " + exampleFix + ", or a list of requests"}
}
