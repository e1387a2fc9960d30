package core_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// A core keeps schemas encoded. Everything that it says in JSON has them all the
// same, with the fields that a reader looks for.
func TestSchemasInJSON(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true})
	createDecorator(t, c, &ruedov1.Decorator{Name: "rules", InputSchema: requires(t, "of-rules")})
	c.Publish(t, &ruedov1.PublishServiceRequest{
		Name: "echo", Decorators: []string{"rules"}, InputSchema: requires(t, "of-input"), OutputSchema: requires(t, "of-output"),
	}, ruedotest.Echo())
	for _, tt := range []struct{ path, body, schemas string }{
		{"/ruedo.v1.DecoratorService/GetDecorator", `{"name":"rules"}`, "of-rules"},
		{"/ruedo.v1.DecoratorService/ListDecorators", `{}`, "of-rules"},
		{"/ruedo.v1.ServiceService/GetService", `{"name":"echo"}`, "of-rules of-input of-output"},
		{"/ruedo.v1.ServiceService/ListServices", `{}`, "of-input of-output"},
		{"/call/echo", "", "of-rules of-input of-output"},
	} {
		method := http.MethodPost
		if tt.body == "" {
			method = http.MethodGet
		}
		req, err := http.NewRequestWithContext(t.Context(), method, c.URL+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := c.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		for field := range strings.FieldsSeq(tt.schemas) {
			if !json.Valid(body) || !strings.Contains(string(body), `"`+field+`"`) {
				t.Errorf("%s does not have the schema %s: %s %s", tt.path, field, res.Status, body)
			}
		}
	}
	if res, _ := post(t, c, "echo", `{"of-rules":1,"of-input":2}`); res.StatusCode != 200 {
		t.Errorf("an input that matches is answered with %s", res.Status)
	}
	if res, body := post(t, c, "echo", `{"of-rules":1}`); res.StatusCode != 400 || !strings.Contains(body, "of-input") {
		t.Errorf("an input that does not match is answered with %s: %s", res.Status, body)
	}
}
