//go:build !wasip1

package sdk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestServeOneCallFromStdin(t *testing.T) {
	echo := func(_ context.Context, in []byte) ([]byte, error) { return in, nil }
	raw := new(service)
	raw.register("HandleBytes", "here", echo, nil)
	json := typedService(func(ctx context.Context, in order) (string, error) {
		if in.Item == "" {
			return "", Errorf(NotFound, "no item")
		}
		return in.Item + " for " + CallID(ctx), nil
	})
	for _, c := range []struct {
		name           string
		s              *service
		in             io.Reader
		code           int
		stdout, stderr string
	}{
		{"JSON", json, strings.NewReader(`{"item":"tea"}`), 0, "\"tea for local\"\n", ""},
		{"JSON is not HTML", json, strings.NewReader(`{"item":"<tea> & milk"}`), 0, "\"<tea> & milk for local\"\n", ""},
		{"bytes stay as they are", raw, strings.NewReader("\x89PNG"), 0, "\x89PNG", ""},
		{"failure", json, strings.NewReader(`{}`), 1, "", "error: not_found: no item\n"},
		{"no handler", new(service), strings.NewReader(`{}`), 2, "", "error: this service has no handler\nfix: call sdk.Handle"},
		{"broken stdin", raw, iotest.ErrReader(errors.New("gone")), 1, "", "error: stdin cannot be read: gone\n"},
	} {
		var stdout, stderr bytes.Buffer
		code := serve(t.Context(), c.s, c.in, &stdout, &stderr)
		if code != c.code || stdout.String() != c.stdout || !strings.HasPrefix(stderr.String(), c.stderr) || (c.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", c.name, code, &stdout, &stderr)
		}
	}
}
