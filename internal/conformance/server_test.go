package conformance

import (
	"context"
	"fmt"
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

// coreURL is the environment variable that turns this program into what the suite
// takes for the server: it starts one for each version and protocol.
const coreURL = "CONFORMANCE_CORE"

func TestMain(m *testing.M) {
	core := os.Getenv(coreURL)
	if core == "" {
		os.Exit(m.Run())
	}
	if err := beServer(core); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// beServer tells the suite where the core is, and waits until the suite ends it.
func beServer(core string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute) // the suite can be gone
	defer cancel()
	if err := internal.NewCodec(false).NewDecoder(os.Stdin).DecodeNext(new(v1.ServerCompatRequest)); err != nil {
		return err
	}
	u, err := url.Parse(core)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return err
	}
	if err := internal.WriteDelimitedMessage(os.Stdout, &v1.ServerCompatResponse{Host: u.Hostname(), Port: uint32(port)}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
