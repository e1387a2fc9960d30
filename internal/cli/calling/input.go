package calling

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/wholefile"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// maxRead is the size up to which an input is read before the call begins. A
// larger one is sent while it is read.
const maxRead = 1 << 20

// callInput is the input of `ruedo call`.
type callInput struct {
	data        []byte    // all of it, or only its beginning
	rest        io.Reader // all of an input that is larger; nil for others
	contentType string
	close       func()
}

// input opens the input of the call.
func (c *Call) input(s *session.Session, core *client.Client) (in *callInput, err error) {
	in = &callInput{close: func() {}}
	given := c.Data != ""
	switch name, isFile := strings.CutPrefix(c.Data, "@"); {
	case isFile && name != "-":
		f, err := os.Open(name)
		if err != nil {
			return nil, session.FileError(err, "cannot read", name)
		}
		in.close = func() { _ = f.Close() } // it is only read
		if err := in.read(f); err != nil {
			in.close()
			return nil, session.FileError(err, "cannot read", name)
		}
		in.contentType = mime.TypeByExtension(filepath.Ext(name))
	case c.Data == "-", c.Data == "@-", !given && len(c.Set) == 0 && piped(s.In):
		if err := in.read(s.In); err != nil {
			return nil, session.FileError(err, "cannot read", "stdin")
		}
		given = given || len(in.data) > 0
	default:
		in.data = []byte(c.Data)
	}
	if len(c.Set) > 0 || !given {
		if err := c.build(s, core, in); err != nil {
			in.close()
			return nil, err
		}
	}
	switch {
	case c.ContentType != "":
		in.contentType = c.ContentType
	case c.RawBytes:
		in.contentType = "application/octet-stream"
	case in.contentType == "":
		in.contentType = in.guessType()
	}
	return in, nil
}

// read reads the input from r, or only its beginning if it is large.
func (in *callInput) read(r io.Reader) (err error) {
	var start int64
	f, ok := r.(*os.File)
	if ok {
		start, err = f.Seek(0, io.SeekCurrent)
		ok = err == nil // a pipe cannot be read twice
	}
	if in.data, err = io.ReadAll(io.LimitReader(r, maxRead+1)); err != nil || len(in.data) <= maxRead {
		return err
	}
	if ok { // then its size is known
		_, err = f.Seek(start, io.SeekStart)
		in.rest = f
		return err
	}
	in.rest = io.MultiReader(bytes.NewReader(in.data), r)
	return nil
}

// piped reports whether stdin is a pipe or a regular file, so that the user wants
// it to be read. A terminal and /dev/null are not.
func piped(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return in != nil
	}
	st, err := f.Stat()
	return err == nil && (st.Mode()&os.ModeNamedPipe != 0 || st.Mode().IsRegular())
}

// build makes the input of the flags --set and of the schemas of the service.
func (c *Call) build(s *session.Session, core *client.Client, in *callInput) error {
	if in.rest != nil {
		data, err := wholefile.ReadAll(in.rest, session.MaxRead)
		if err != nil {
			return session.FileError(err, "cannot read", c.Data)
		}
		in.data, in.rest = data, nil
	}
	res, err := core.Services.GetService(s.Ctx, &ruedov1.GetServiceRequest{Name: c.Name})
	if err != nil {
		return err
	}
	schemas := input.New(res.GetSchemas())
	// Without any input, a service that takes JSON gets an empty object, and the
	// answer names the fields that are missing.
	if len(c.Set) > 0 || !schemas.Empty() {
		if in.data, err = schemas.Build(in.data, c.Set, s.ReadInput); err != nil {
			return err
		}
		in.contentType = "application/json"
	}
	return nil
}

// guessType returns the media type of an input. One that begins like JSON counts
// as JSON even if it is broken: the answer then says where.
func (in *callInput) guessType() string {
	trimmed := bytes.TrimSpace(in.data)
	whole := in.rest == nil
	text := in.data
	if !whole { // its last character may be cut
		text = bytes.TrimRightFunc(text[:maxRead], func(r rune) bool { return r == utf8.RuneError })
	}
	switch {
	case len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[' || whole && json.Valid(trimmed)):
		return "application/json"
	case utf8.Valid(text) && len(text)+utf8.UTFMax > min(len(in.data), maxRead):
		return "text/plain; charset=utf-8"
	}
	return http.DetectContentType(in.data)
}
