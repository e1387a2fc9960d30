package core_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// A typed call looks the same in every encoding and protocol, although the core
// does not decode its values.
func TestTypedCallsInAllEncodings(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	input, err := structpb.NewValue(map[string]any{"name": "Ada <&>", "list": []any{1.5, true, nil, "x"}, "deep": map[string]any{"a": map[string]any{}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]connect.ClientOption{
		"connect": nil, "json": {connect.WithProtoJSON()}, "gzip": {connect.WithSendGzip()}, "grpc-web": {connect.WithGRPCWeb()}, "grpc": {connect.WithGRPC()},
	} {
		t.Run(name, func(t *testing.T) {
			httpClient := c.HTTP
			if name == "grpc" {
				httpClient = overHTTP2(t)
			}
			client := ruedov1connect.NewInvokeServiceClient(httpClient, c.URL, opts...)
			res, err := client.Invoke(t.Context(), &ruedov1.InvokeRequest{Service: "echo", Payload: &ruedov1.InvokeRequest_Input{Input: input}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(input, res.GetOutput(), protocmp.Transform()); diff != "" || res.GetContentType() != "application/json" || res.GetInfo().GetCallId() == "" {
				t.Errorf("%s%s %v", diff, res.GetContentType(), res.GetInfo())
			}
			raw := []byte{0, 0xff, '{'}
			res, err = client.Invoke(t.Context(), &ruedov1.InvokeRequest{Service: "echo", ContentType: "image/png", Payload: &ruedov1.InvokeRequest_Bytes{Bytes: raw}})
			if err != nil || !bytes.Equal(res.GetBytes(), raw) || res.GetContentType() != "image/png" {
				t.Errorf("bytes: %v, %v", res, err)
			}
			_, err = client.Invoke(t.Context(), &ruedov1.InvokeRequest{Service: "Echo!", ContentType: strings.Repeat("x", 300)})
			if e := faultrpc.FromError(err); e.Reason != fault.RequestInvalid || len(e.Fields) != 2 {
				t.Errorf("broken rules: %v %v", err, e.Fields)
			}
		})
	}
}

func TestWhatIsNotAnInvocationIsRefused(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	post := func(body string) (int, string) {
		res, err := c.HTTP.Post(c.URL+ruedov1connect.InvokeServiceInvokeProcedure, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	for _, body := range []string{
		``, `[]`, `{`, `{"service":"echo"`, `{"service":"echo"} x`, `{"service":"echo","nothing":1}`, `{"service":"echo","service":"echo"}`,
		`{"service":"echo","input":1,"bytes":"AA=="}`, `{"service":"echo","input":[1,]}`, `{"service":1}`, `{"service":"echo","bytes":"!"}`,
		`{"service":"echo","contentType":"a","content_type":"b"}`, "{\"service\":\"echo\",\"input\":\"\xff\"}", `{"Service":"echo"}`,
	} {
		if status, answer := post(body); status != http.StatusBadRequest || !strings.Contains(answer, "REQUEST_INVALID") && !strings.Contains(answer, "invalid_argument") {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	for body, want := range map[string]string{
		`{"service":"echo","input":12345678901234567890.0}`:            `12345678901234567890.0`,
		`{"service":"echo","input":null}`:                              `null`,
		`{"logs":false,"input":{"b":[1, 2]},"service":"echo"}`:         `{"b":[1, 2]}`,
		`{"service":"echo","content_type":"text/plain","bytes":"eHg"}`: `"eHg="`,
	} {
		status, answer := post(body)
		var res map[string]json.RawMessage
		if err := json.Unmarshal([]byte(answer), &res); err != nil || status != http.StatusOK {
			t.Errorf("%s: %d %s", body, status, answer)
			continue
		}
		if got := string(res["output"]) + string(res["bytes"]); got != want {
			t.Errorf("%s: %s", body, got)
		}
		if err := protojson.Unmarshal([]byte(answer), new(ruedov1.InvokeResponse)); err != nil {
			t.Errorf("%s: the answer is not an InvokeResponse: %v", body, err)
		}
	}
}

// A typed input of megabytes costs a small multiple of them, and is refused at
// the limit of its service before it is translated.
func TestATypedInputCostsLittleMemory(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	list := "[" + strings.Repeat("0,", 3<<20) + "0]"
	value := new(structpb.Value)
	if err := value.UnmarshalJSON([]byte("[" + strings.Repeat("0,", 1<<19) + "0]")); err != nil {
		t.Fatal(err)
	}
	binary, err := proto.Marshal(&ruedov1.InvokeRequest{Service: "echo", Payload: &ruedov1.InvokeRequest_Input{Input: value}})
	if err != nil {
		t.Fatal(err)
	}
	value = nil
	for _, tt := range []struct {
		name, contentType string
		body              []byte
		limit             uint64
	}{
		{"JSON over the limit", "application/json", []byte(`{"service":"echo","input":` + list + `}`), 80 << 20},
		{"binary within it", "application/proto", binary, 120 << 20},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		res, err := c.HTTP.Post(c.URL+ruedov1connect.InvokeServiceInvokeProcedure, tt.contentType, bytes.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		runtime.ReadMemStats(&after)
		grown := (after.TotalAlloc - before.TotalAlloc)
		t.Logf("%s: %s, %d MiB for %d MiB", tt.name, res.Status, grown>>20, len(tt.body)>>20)
		if grown > tt.limit {
			t.Errorf("%s: %d MiB were allocated for %d MiB", tt.name, grown>>20, len(tt.body)>>20)
		}
	}
}
