package core_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1" // whose procedures are walked, too
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// door is one of the ways to a cluster with login, as callers find it who show something
// or nothing, each request from an address of its own: failures are limited by address.
type door struct {
	*ruedotest.Cluster
	way      string
	requests int
}

// allWays returns the ways to a cluster: in the clear on loopback, over TLS, which
// takes another core of the same cluster, and the socket of the first one.
func allWays(t *testing.T) (tcp, tls, socket *door) {
	t.Helper()
	plain := ruedotest.New(t, ruedotest.Options{Local: true, Login: true})
	over := ruedotest.New(t, ruedotest.Options{Local: true, Login: true, TLS: true, Etcd: plain.Etcd, SealKey: plain.SealKey})
	local := *plain
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", plain.Core.Socket())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	local.URL, local.HTTP = "http://localhost", &http.Client{Transport: transport}
	return &door{Cluster: plain, way: "TCP"}, &door{Cluster: over, way: "TLS"}, &door{Cluster: &local, way: "socket"}
}

// knows waits until the core knows a token, and all that was written before.
func (d *door) knows(t *testing.T, shown string) {
	t.Helper()
	testkit.Eventually(t, d.way+" knows the token", func() bool {
		return d.ask(t, "POST", ruedov1connect.LoginServiceWhoAmIProcedure, "application/json", shown, "{}").status == http.StatusOK
	})
}

// answer is what a caller gets, without what differs from one request to the next.
type answer struct {
	status int
	body   string
	header string
}

func (d *door) ask(t *testing.T, method, path, contentType, shown, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, d.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if shown != "" {
		req.Header.Set("Authorization", "Bearer "+shown)
	}
	d.requests++
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", d.requests>>16, d.requests>>8&255, d.requests&255))
	res, err := d.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Header.Del("Date")
	return answer{res.StatusCode, details.ReplaceAllString(string(b), ""), fmt.Sprint(slices.Sorted(maps.Keys(res.Header)))}
}

// details are the facts of an error in protobuf's encoding, whose order is random. They
// follow in JSON.
var details = regexp.MustCompile(`"value":"[^"]*",`)

// call calls a procedure with a request in JSON.
func (d *door) call(t *testing.T, m protoreflect.MethodDescriptor, shown, request string) answer {
	t.Helper()
	path := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
	if m.IsStreamingClient() || m.IsStreamingServer() {
		envelope := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request)))
		return d.ask(t, "POST", path, "application/connect+json", shown, string(envelope)+request)
	}
	return d.ask(t, "POST", path, "application/json", shown, request)
}

// methods returns all of our procedures that a core serves, sorted by name.
func methods() (list []protoreflect.MethodDescriptor) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				if m := file.Services().Get(i).Methods().Get(j); strings.HasPrefix(string(m.FullName()), "ruedo.") {
					list = append(list, m)
				}
			}
		}
		return true
	})
	slices.SortFunc(list, func(a, b protoreflect.MethodDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return list
}

func ruleOf(m protoreflect.MethodDescriptor) *access.Rule {
	return proto.GetExtension(m.Options(), ruedov1.E_Access).(*access.Rule)
}

// machine creates a program with grants, and returns the secret of a token of it.
func machine(t *testing.T, c *client.Client, name string, grants ...string) string {
	t.Helper()
	if _, err := c.Users.CreateUser(t.Context(), &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: name, Machine: true, Grants: grants}}); err != nil {
		t.Fatal(err)
	}
	return tokenOf(t, c, name).GetSecret()
}

func tokenOf(t *testing.T, c *client.Client, user string) *ruedov1.CreateTokenResponse {
	t.Helper()
	res, err := c.Tokens.CreateToken(t.Context(), &ruedov1.CreateTokenRequest{User: user})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// requestFor returns a request in JSON that is about a name.
func requestFor(t *testing.T, m protoreflect.MethodDescriptor, name string) string {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
	if err != nil {
		t.Fatal(err)
	}
	msg := kind.New()
	path := strings.Split(ruleOf(m).GetName(), ".")
	at := msg
	for _, field := range path[:len(path)-1] {
		at = at.Mutable(at.Descriptor().Fields().ByName(protoreflect.Name(field))).Message()
	}
	at.Set(at.Descriptor().Fields().ByName(protoreflect.Name(path[len(path)-1])), protoreflect.ValueOfString(name))
	b, err := protojson.Marshal(msg.Interface())
	if err != nil {
		t.Fatal(err)
	}
	var tight bytes.Buffer
	if err := json.Compact(&tight, b); err != nil {
		t.Fatal(err)
	}
	return tight.String()
}
