package object

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

func TestOf(t *testing.T) {
	schema, err := structpb.NewStruct(map[string]any{"type": "object", "maxProperties": 12345678901})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		message proto.Message
		want    string
	}{
		"limits have their names and units": {
			&ruedov1.Limits{MemoryBytes: 64 << 20, Timeout: durationpb.New(90 * time.Second), OutputBytes: 1500, CpuTime: durationpb.New(50 * time.Millisecond), Concurrency: 8},
			`{"memory":"64MiB","timeout":"1m30s","cpu":"50ms","output":"1500B","concurrency":8}`,
		},
		"numbers are numbers, and what is not set is there": {
			&ruedov1.Decorator{Name: "small", Tags: []string{"<a>"}, InputSchema: schema, Version: 1 << 53, CreateTime: timestamppb.New(time.Unix(0, 5000000))},
			`{"name":"small","description":"","tags":["<a>"],"input_schema":{"maxProperties":12345678901,"type":"object"},` +
				`"create_time":"1970-01-01T00:00:00.005Z","version":9007199254740992,"revision":0,"latest":0}`,
		},
		"enums are words": {
			&ruedov1.Runner{Id: "r", State: ruedov1.RunnerState_RUNNER_STATE_READY},
			`{"id":"r","name":"","host":"","version":"","concurrency":0,"queue":0,"registered_by":"","state":"ready","active_calls":0,"total_calls":0,"preparing":[],"labels":{},"lane_protocol":0,"outdated":false,"streams":0,"lane_upgraded":false}`,
		},
		"an effective limit": {
			&ruedov1.EffectiveLimit{Limit: "memory", Value: "128 MiB", Decorator: "small"},
			`{"limit":"memory","value":"128MiB","decorator":"small","follows":""}`,
		},
		"an effective number": {
			&ruedov1.EffectiveLimit{Limit: "concurrency", Value: "8"},
			`{"limit":"concurrency","value":8,"decorator":"","follows":""}`,
		},
		"no limit": {
			&ruedov1.EffectiveLimit{Limit: "concurrency", Value: "the runner's own"},
			`{"limit":"concurrency","value":"the runner's own","decorator":"","follows":""}`,
		},
		"a list": {
			&ruedov1.ListDecoratorsResponse{Items: []*ruedov1.Decorator{}},
			`{"items":[]}`,
		},
		"a value that is no object": {structpb.NewNumberValue(2), `2`},
	} {
		if got := encode(t, Of(tt.message)); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tt.want)
		}
	}
}

func TestTheExampleOfARevision(t *testing.T) {
	for in, want := range map[string]string{
		`{"b": 1, "a": 12345678901234567890}`: `"example":{"b":1,"a":12345678901234567890}`,
		`36`:                                  `"example":36`,
		`"quoted"`:                            `"example":"\"quoted\""`,
		"a text":                              `"example":"a text"`,
		"":                                    `"example":""`,
		"\xff":                                `"example_base64":"/w=="`,
	} {
		if got := encode(t, Of(&ruedov1.Revision{Example: []byte(in)})); !strings.Contains(got, ","+want+",") {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestWord(t *testing.T) {
	for kind, want := range map[ruedov1.Kind]string{
		ruedov1.Kind_KIND_COMMAND: "command", ruedov1.Kind_KIND_UNSPECIFIED: "", 99: "",
	} {
		if got := Word(kind); got != want {
			t.Errorf("Word(%s) = %q, want %q", kind, got, want)
		}
	}
}

// encode returns a value as compact JSON.
func encode(t *testing.T, v any) string {
	t.Helper()
	var b, compact bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	if err := json.Compact(&compact, b.Bytes()); err != nil {
		t.Fatal(err)
	}
	return compact.String()
}
