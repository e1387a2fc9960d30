package core_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestWhatIsNoModuleIsRefusedWithTheReason(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	echo := ruedotest.Echo()
	replace := func(old, with string) []byte { return bytes.Replace(echo, []byte(old), []byte(with), 1) }
	for _, tt := range []struct {
		name  string
		wasm  []byte
		want  fault.Reason
		texts []string
	}{
		{"gzip", []byte("\x1f\x8b\x08\x00 something"), fault.NotAModule, []string{"gzip"}},
		{"ELF", []byte("\x7fELF\x02\x01\x01\x00 something"), fault.NotAModule, []string{"ELF"}},
		{"HTML", []byte("<!DOCTYPE html><html></html>"), fault.NotAModule, []string{"HTML"}},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), fault.Component, []string{"wasip1"}},
		{"truncated", echo[:len(echo)-5], fault.Malformed, []string{"byte"}},
		{"unknown import", replace("\x05ruedo\x0ainput_read", "\x05envir\x0ainput_read"), fault.ImportNotAllowed, []string{"envir.input_read"}},
		{"no entry", replace("ruedo_call", "ruedo_cull"), fault.ExportsMissing, []string{"ruedo_call"}},
		{"other ABI", replace("ruedo_abi_1", "ruedo_abi_9"), fault.ABIMismatch, []string{"9", "1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.Client.Upload(t.Context(), tt.wasm, nil)
			wantReason(t, err, tt.want, tt.texts...)
			_, err = c.Client.Modules.StatModule(t.Context(), &ruedov1.StatModuleRequest{Digest: digest(tt.wasm)})
			wantReason(t, err, fault.ModuleNotFound)
		})
	}
	t.Run("empty", func(t *testing.T) {
		_, err := c.Client.Upload(t.Context(), nil, nil)
		wantReason(t, err, fault.NotAModule, "empty")
	})
	t.Run("too large", func(t *testing.T) {
		_, err := c.Client.Upload(t.Context(), make([]byte, 65<<20), nil)
		wantReason(t, err, fault.UploadTooLarge, "65 MiB", "64 MiB")
	})
}

func TestAnUploadIsWholeOrNothing(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	echo := ruedotest.Echo()
	send := func(head *ruedov1.UploadHead, parts ...[]byte) error {
		stream, err := c.Client.Modules.UploadModule(t.Context())
		if err != nil {
			return err
		}
		if head != nil {
			// A failed send shows in the answer.
			_ = stream.Send(&ruedov1.UploadModuleRequest{Part: &ruedov1.UploadModuleRequest_Head{Head: head}})
		}
		for _, p := range parts {
			_ = stream.Send(&ruedov1.UploadModuleRequest{Part: &ruedov1.UploadModuleRequest_Data{Data: p}})
		}
		_, err = stream.CloseAndReceive()
		return err
	}
	head := func(size int) *ruedov1.UploadHead {
		return &ruedov1.UploadHead{Digest: digest(echo), SizeBytes: uint64(size)}
	}
	nothing := func() {
		t.Helper()
		_, err := c.Client.Modules.StatModule(t.Context(), &ruedov1.StatModuleRequest{Digest: digest(echo)})
		wantReason(t, err, fault.ModuleNotFound)
	}
	wantReason(t, send(head(len(echo)), echo[:20]), fault.UploadIncomplete, "20 of")
	nothing()
	wantReason(t, send(head(20), echo), fault.RequestInvalid, "more than the 20 bytes")
	nothing()
	wrong := append(bytes.Clone(echo[:len(echo)-1]), 0x0c)
	wantReason(t, send(head(len(echo)), wrong), fault.DigestMismatch, digest(wrong))
	nothing()
	wantReason(t, send(nil, echo), fault.RequestInvalid, "head")
	wantReason(t, send(nil), fault.UploadIncomplete)
	wantReason(t, send(&ruedov1.UploadHead{Digest: "x", SizeBytes: 1}), fault.RequestInvalid)
	nothing()
	// A caller that hangs up midway leaves nothing behind, and the next upload
	// succeeds.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+"/ruedo.v1.ModuleService/UploadModule", strings.NewReader("\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/connect+proto")
	res, err := c.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	nothing()
	if err := send(head(len(echo)), echo[:20], echo[20:]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client.Modules.StatModule(t.Context(), &ruedov1.StatModuleRequest{Digest: digest(echo)}); err != nil {
		t.Fatal(err)
	}
}

func TestAModuleThatNoRunnerCanPrepareLeavesTheOldRevisionLive(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 2})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	// Its body is an endless loop: it starts, and the example never ends.
	loop := bytes.Replace(ruedotest.Echo(),
		[]byte{0x11, 0x00, 0x41, 0x00, 0x41, 0x00, 0x41, 0x80, 0x80, 0x04, 0x10, 0x00, 0x10, 0x01, 0x1a, 0x41, 0x00, 0x0b},
		[]byte{0x11, 0x00, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x41, 0x00, 0x0b}, 1)
	_, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: "quick", Limits: quick}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "echo", Decorators: []string{"quick"}, Example: []byte(`{}`)}, loop)
	wantReason(t, err, fault.GuestTimeout, "200ms")
	if res, body := post(t, c, "echo", `{"still":"live"}`); res.StatusCode != 200 || body != `{"still":"live"}` {
		t.Errorf("the old revision: %s %s", res.Status, body)
	}
	_, err = c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "echo", Decorators: []string{"quick"}}, loop)
	if err != nil {
		t.Fatalf("without an example nothing runs at publish: %v", err)
	}
	_, err = c.Client.Call(t.Context(), "echo", []byte(`{}`))
	e := wantReason(t, err, fault.GuestTimeout, "200ms")
	if e.Meta["decorator"] != "quick" || e.Meta["limit_name"] != "timeout" {
		t.Errorf("the timeout names not the decorator that set it: %v", e.Meta)
	}
	if !strings.HasSuffix(e.Message, " (timeout: 200ms, set by decorator quick)") || !strings.HasSuffix(e.Fix, "raise timeout in decorator quick") {
		t.Errorf("the text of the timeout: %s; fix: %s", e.Message, e.Fix)
	}
	if info, ok := fault.Detail[*ruedov1.CallInfo](err); !ok || info.GetRunner() == "" || info.GetDuration().AsDuration() == 0 {
		t.Errorf("a failed call tells of itself: %v", info)
	}
}
