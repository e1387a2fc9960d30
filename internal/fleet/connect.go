package fleet

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet/unbroken"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

const (
	// A store that vanished without closing the connection is detected within
	// the sum of these two.
	aliveEvery   = 10 * time.Second
	aliveTimeout = 3 * time.Second
	// reconnectMax is the longest wait between attempts to reach a store that
	// was away; gRPC's default is two minutes.
	reconnectMax = 2 * time.Second
)

// Login is a user of etcd and its password. The zero Login means none.
type Login struct{ User, Password string }

// connect returns a client of the etcd at hosts, each "host:port". It does not
// wait for an answer: the first operation finds out whether the store is there.
// A nil tls means no TLS. It fails with CONFIG_INVALID if there are no hosts or
// one is malformed. With a login it does wait, at most for wait, and fails with
// STORE_UNAVAILABLE.
func connect(hosts []string, tls *tls.Config, login Login, wait time.Duration) (*clientv3.Client, error) {
	if len(hosts) == 0 {
		return nil, fault.New(fault.ConfigInvalid, "no store is configured").
			WithFix("set store.etcd_hosts to host:port of each etcd, separated by spaces")
	}
	for _, h := range hosts {
		if err := checkHost(h); err != nil {
			return nil, err
		}
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            hosts,
		TLS:                  tls,
		Username:             login.User,
		Password:             login.Password,
		DialTimeout:          wait,
		DialKeepAliveTime:    aliveEvery,
		DialKeepAliveTimeout: aliveTimeout,
		// The client reports its problems as errors, too.
		Logger: zap.NewNop(),
		DialOptions: append(unbroken.DialOptions(), grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectMax},
			MinConnectTimeout: reconnectMax,
		})),
	})
	if err != nil && login.User != "" {
		return nil, TranslateError(context.Background(), err, "log in to the store at "+strings.Join(hosts, " "))
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "cannot create a client for the store at %s", strings.Join(hosts, " "))
	}
	return client, nil
}

func checkHost(h string) error {
	host, port, err := net.SplitHostPort(h)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err == nil && perr == nil && n > 0 && host != "" && !strings.ContainsAny(host, "/@ \t\n") {
		return nil
	}
	return fault.New(fault.ConfigInvalid, "store host %s is not host:port", keys.Quote(h)).
		WithFix("name each etcd as host:port, for example 127.0.0.1:2379")
}
