package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/conformance/internal"
	v1 "connectrpc.com/conformance/internal/gen/proto/go/connectrpc/conformance/v1"
)

// testURL is the environment variable that turns this program into what the suite
// takes for the server: it starts one for each version, protocol and kind of TLS.
const testURL = "CONFORMANCE_TEST"

func TestMain(m *testing.M) {
	test := os.Getenv(testURL)
	if test == "" {
		os.Exit(m.Run())
	}
	if err := beServer(test); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// beServer passes on what the suite wants of the server, answers with what the test
// has, and waits until the suite ends it.
func beServer(test string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute) // the suite can be gone
	defer cancel()
	wanted, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, test, bytes.NewReader(wanted))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, answer)
	}
	if err == nil {
		_, err = os.Stdout.Write(answer)
	}
	if err == nil {
		<-ctx.Done()
	}
	return err
}

// ServeHTTP answers one that the suite takes for the server.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var wanted v1.ServerCompatRequest
	err := internal.NewCodec(false).NewDecoder(r.Body).DecodeNext(&wanted)
	if err == nil {
		if as := (way{wanted.UseTls, string(wanted.ClientTlsCert)}); as != c.now {
			err = c.serve(as)
		}
	}
	var answer []byte
	if err == nil {
		answer, err = c.reached()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(answer)
}

// reached says how the core is reached, in the words of the suite.
func (c *cluster) reached() ([]byte, error) {
	u, err := url.Parse(c.url)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return nil, err
	}
	at := &v1.ServerCompatResponse{Host: u.Hostname(), Port: uint32(port)}
	if c.now.tls {
		at.PemCert = c.authority
	}
	var out bytes.Buffer
	err = internal.WriteDelimitedMessage(&out, at)
	return out.Bytes(), err
}
