package core_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// A revision is stored without being live, called by its number, and promoted.
func TestARevisionIsTriedBeforeItIsLive(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	ctx := t.Context()
	_, err := c.TryPublish(ctx, &ruedov1.PublishServiceRequest{Name: "echo", NoLive: true}, ruedotest.Echo())
	if !errors.Is(err, fault.ServiceNotFound) || !strings.Contains(err.Error(), "no live revision") {
		t.Errorf("without a live revision: %v", err)
	}
	publishEcho(t, c, &ruedov1.PublishServiceRequest{Env: map[string]string{"N": "1"}})
	staged := publishEcho(t, c, &ruedov1.PublishServiceRequest{Env: map[string]string{"N": "2"}, NoLive: true})
	if staged.GetStaged().GetNumber() != 2 || staged.GetService().GetRevision().GetNumber() != 1 || staged.GetService().GetLatest() != 2 || len(staged.GetPreparations()) != 1 {
		t.Fatalf("%v", staged)
	}
	again := publishEcho(t, c, &ruedov1.PublishServiceRequest{Env: map[string]string{"N": "2"}, NoLive: true})
	if !again.GetUnchanged() || again.GetStaged().GetNumber() != 2 {
		t.Errorf("the same again: %v", again)
	}
	call := func(revision uint64) (uint64, error) {
		res, err := c.Client.Call(ctx, "echo", []byte("{}"), client.WithRevision(revision))
		if err != nil {
			return 0, err
		}
		return res.Info.GetRevision(), nil
	}
	for revision, want := range map[uint64]uint64{0: 1, 1: 1, 2: 2} {
		if got, err := call(revision); err != nil || got != want {
			t.Errorf("revision %d: executed %d, %v", revision, got, err)
		}
	}
	if _, err := call(3); !errors.Is(err, fault.RevisionNotFound) {
		t.Errorf("a revision that does not exist: %v", err)
	}
	for path, want := range map[string]string{"echo@2": "2", "echo@1": "1", "echo": "1"} {
		if res, body := post(t, c, path, "{}"); res.StatusCode != http.StatusOK || res.Header.Get("Ruedo-Revision") != want {
			t.Errorf("%s: %d, revision %s, %s", path, res.StatusCode, res.Header.Get("Ruedo-Revision"), body)
		}
	}
	for path, reason := range map[string]string{"echo@3": "REVISION_NOT_FOUND", "echo@0": "REQUEST_INVALID", "echo@x": "REQUEST_INVALID", "ecko@1": "SERVICE_NOT_FOUND"} {
		if _, body := post(t, c, path, "{}"); !strings.Contains(body, reason) {
			t.Errorf("%s: %s", path, body)
		}
	}
	// Connect's JSON has the field too.
	res, err := c.HTTP.Post(c.URL+"/ruedo.v1.InvokeService/Invoke", "application/json", strings.NewReader(`{"service":"echo","revision":"2","input":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if !strings.Contains(string(body), `"revision":"2"`) {
		t.Errorf("Connect: %s", body)
	}
	back, err := c.Client.Services.RollbackService(ctx, &ruedov1.RollbackServiceRequest{Name: "echo", Revision: 2})
	if err != nil || back.GetPrevious() != 1 {
		t.Fatalf("%v, %v", back, err)
	}
	for revision, want := range map[uint64]uint64{0: 2, 1: 1, 2: 2} {
		if got, err := call(revision); err != nil || got != want {
			t.Errorf("promoted, revision %d: executed %d, %v", revision, got, err)
		}
	}
	// A service of the same name that is published later has its own revisions.
	if _, err := c.Client.Services.DeleteService(ctx, &ruedov1.DeleteServiceRequest{Name: "echo"}); err != nil {
		t.Fatal(err)
	}
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	if _, err := call(2); !errors.Is(err, fault.RevisionNotFound) {
		t.Errorf("a revision of a deleted service: %v", err)
	}
}

// What would change for the live revision is not staged.
func TestAStagedRevisionChangesNoDecorator(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	small := &ruedov1.Decorator{Name: "small", Limits: &ruedov1.Limits{InputBytes: 1 << 20}}
	publishEcho(t, c, &ruedov1.PublishServiceRequest{Decorators: []string{"small"}, Definitions: []*ruedov1.Decorator{small}})
	smaller := &ruedov1.Decorator{Name: "small", Limits: &ruedov1.Limits{InputBytes: 1 << 19}}
	_, err := c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{
		Name: "echo", Decorators: []string{"small"}, Definitions: []*ruedov1.Decorator{smaller}, NoLive: true,
	}, ruedotest.Echo())
	if !errors.Is(err, fault.RequestInvalid) || !strings.Contains(err.Error(), "would change for the live revision too") {
		t.Error(err)
	}
	fresh := &ruedov1.Decorator{Name: "fresh", Limits: &ruedov1.Limits{InputBytes: 1 << 19}}
	res := publishEcho(t, c, &ruedov1.PublishServiceRequest{Decorators: []string{"fresh"}, Definitions: []*ruedov1.Decorator{fresh}, NoLive: true})
	if res.GetStaged().GetNumber() != 2 || len(res.GetDefinitions()) != 1 {
		t.Errorf("%v", res)
	}
}

// GET says what a service accepts.
func TestAServiceDescribesItself(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	schema, err := structpb.NewStruct(map[string]any{"type": "object", "required": []any{"name"}})
	if err != nil {
		t.Fatal(err)
	}
	d := &ruedov1.Decorator{Name: "named", InputSchema: schema, Limits: &ruedov1.Limits{InputBytes: 1 << 20}}
	publishEcho(t, c, &ruedov1.PublishServiceRequest{
		Description: "Says it again.", Decorators: []string{"named"}, Definitions: []*ruedov1.Decorator{d}, Example: []byte(`{"name":"Ada"}`),
	})
	get := func(path string) (*http.Response, map[string]any) {
		res, err := c.HTTP.Get(c.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var v map[string]any
		if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
			t.Fatal(err)
		}
		return res, v
	}
	res, v := get("/call/echo")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s, %s", res.Status, res.Header)
	}
	if v["name"] != "echo" || v["description"] != "Says it again." || v["revision"] != 1.0 || v["kind"] != "function" {
		t.Errorf("%v", v)
	}
	if s, _ := v["input_schema"].(map[string]any); s["type"] != "object" {
		t.Errorf("schema: %v", v["input_schema"])
	}
	if e, _ := v["example"].(map[string]any); e["name"] != "Ada" {
		t.Errorf("example: %v", v["example"])
	}
	text, _ := json.Marshal(v["limits"])
	if !strings.Contains(string(text), `{"decorator":"named","name":"input","value":"1 MiB"}`) {
		t.Errorf("limits: %s", text)
	}
	if res, v := get("/call/ecko"); res.StatusCode != http.StatusNotFound || v["fix"] != "did you mean echo?" {
		t.Errorf("%s, %v", res.Status, v)
	}
}
