package middleware_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

// A value that cannot be read is not quoted in full.
func TestAMessageThatCannotBeDecodedGetsAShortAnswer(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle(ruedov1connect.NewInvokeServiceHandler(invoke(func() error { panic("reached") }), chain(slog.New(slog.DiscardHandler), 2<<20).Options()...))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8"} {
		body := `{"service":"greet","bytes":"` + strings.Repeat("x!", 1<<19) + `"}`
		res, err := srv.Client().Post(srv.URL+ruedov1connect.InvokeServiceInvokeProcedure, contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusBadRequest || len(answer) > 2<<10 || !strings.Contains(string(answer), "bytes") {
			t.Errorf("%s: %s with %d bytes: %.200s", contentType, res.Status, len(answer), answer)
		}
	}
}
