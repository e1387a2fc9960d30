// Package reach says how callers reach a service of kind http: its URL, and the
// curl lines of its examples.
package reach

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// maxBody is how much of a body is shown, in bytes.
const maxBody = 200

// URL returns the URL of a service at a core.
func URL(core, service string) string { return strings.TrimSuffix(core, "/") + "/svc/" + service + "/" }

// Text returns a request as one line, for people to read.
func Text(e *ruedov1.HttpExample) string {
	text := cmp.Or(e.GetMethod(), "GET") + " " + e.GetPath()
	if body := body(e); body != "" {
		text += " " + body
	} else if n := len(e.GetBody()); n > 0 {
		text += " (" + output.Size(uint64(n)) + ")"
	}
	return text
}

// Curl returns the command that sends a request to a service at a core.
func Curl(core, service string, e *ruedov1.HttpExample) string {
	line := "curl"
	sent := e.GetBody()
	if field(e, "upgrade") != "" {
		// curl cannot send what comes after the upgrade.
		line, sent = line+" -iN", nil
	} else if strings.HasPrefix(core, "http://") && framed(field(e, "content-type")) {
		line += " --http2-prior-knowledge" // with TLS, curl uses it anyway
	}
	usual := "GET"
	if len(sent) > 0 {
		usual = "POST"
	}
	if method := cmp.Or(e.GetMethod(), "GET"); method == "HEAD" {
		line += " -I"
	} else if method != usual {
		line += " -X " + output.Quote(method)
	}
	for _, name := range slices.Sorted(maps.Keys(e.GetHeaders())) {
		line += " -H " + output.Quote(name+": "+output.Safe(e.GetHeaders()[name]))
	}
	switch text := body(e); {
	case len(sent) == 0:
	case text != "":
		line += " --data-raw " + output.Quote(text)
	default:
		line += " --data-binary @FILE"
	}
	return line + " " + output.Quote(strings.TrimSuffix(URL(core, service), "/")+e.GetPath())
}

// field returns a field of a request, whose names are in any case.
func field(e *ruedov1.HttpExample, name string) string {
	for n, value := range e.GetHeaders() {
		if strings.EqualFold(n, name) {
			return value
		}
	}
	return ""
}

// framed reports whether a body of a content type is messages of gRPC or of a stream of
// Connect, which can need HTTP/2.
func framed(contentType string) bool {
	return strings.HasPrefix(contentType, "application/grpc") || strings.HasPrefix(contentType, "application/connect+")
}

// Curls returns the commands for the examples of a service, or for its root if it
// has none.
func Curls(core string, s *ruedov1.Service) []string {
	examples := s.GetRevision().GetHttpExamples()
	if len(examples) == 0 {
		examples = []*ruedov1.HttpExample{{Path: "/"}}
	}
	var lines []string
	for _, e := range examples {
		lines = append(lines, Curl(core, s.GetName(), e))
	}
	return lines
}

// Print prints a heading and the commands for the examples of a service.
func Print(s *session.Session, heading string, service *ruedov1.Service) error {
	if err := s.Printf("%s", heading); err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	url := s.URL(core)
	if s.Local() { // it ends with the command
		url = "http://CORE"
	}
	for _, line := range Curls(url, service) {
		if err := s.Printf("  %s", line); err != nil {
			return err
		}
	}
	return nil
}

// body returns the body of a request if it is a short line of text, else "".
func body(e *ruedov1.HttpExample) string {
	if b := e.GetBody(); len(b) <= maxBody && utf8.Valid(b) && !bytes.ContainsFunc(b, unicode.IsControl) {
		return output.Safe(string(b))
	}
	return ""
}
