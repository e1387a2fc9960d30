package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/cli/resource"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// house is a cluster behind a front door: one user, an invite, and the tokens that are
// good. It is no cluster, but it answers as one, and notes what it was asked.
type house struct {
	ruedov1connect.UnimplementedLoginServiceHandler
	ruedov1connect.UnimplementedUserServiceHandler
	ruedov1connect.UnimplementedRoleServiceHandler
	ruedov1connect.UnimplementedTokenServiceHandler
	ruedov1connect.UnimplementedAuthorityServiceHandler

	cluster   string
	open      bool // it has no login
	authority *pki.Authority
	former    *pki.Authority // before the last rotation; nil: there is none
	url       string
	invite    token.Token

	mu        sync.Mutex
	used      bool // the invite
	password  string
	users     map[string]*ruedov1.User
	good      map[string]bool // texts of tokens
	conflicts int             // so many updates of users fail
	shown     []string        // procedure, way and token id of each request
	everybody bool            // the tokens of all have ended
}

const (
	password = "correct horse battery"
	another  = "staple, another one"
)

// newHouse starts one with TLS, or on plain HTTP.
func newHouse(t *testing.T, cluster string, tls bool) *house { return newLocked(t, cluster, tls, nil) }

// newLocked is newHouse with a lock that asks for client certificates; nil is none.
func newLocked(t *testing.T, cluster string, tls bool, lock *pki.Lock) *house {
	t.Helper()
	h := &house{
		cluster: cluster, invite: token.New(token.Invite), password: password, good: map[string]bool{},
		users: map[string]*ruedov1.User{"ada": {Name: "ada", Roles: []string{"admin"}, Version: 1}},
	}
	srv := httptest.NewUnstartedServer(h.handler("tcp"))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(srv.Close)
	if !tls {
		srv.Start()
		h.url = srv.URL
		return h
	}
	var err error
	if h.authority, err = pki.New(cluster, time.Now()); err != nil {
		t.Fatal(err)
	}
	leaves, err := pki.NewLeaves(pki.LeavesConfig{Authorities: h.authorities, Core: "core-1"})
	if err != nil {
		t.Fatal(err)
	}
	srv.TLS = pki.Server(pki.ServerConfig{Leaves: leaves, Lock: lock})
	srv.StartTLS()
	h.url = srv.URL
	return h
}

// authorities returns the authority, and the one before.
func (h *house) authorities() []*pki.Authority {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.former == nil {
		return []*pki.Authority{h.authority}
	}
	return []*pki.Authority{h.authority, h.former}
}

// rotate gives it another authority.
func (h *house) rotate(t *testing.T) {
	t.Helper()
	next, err := h.authority.Next(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.authority, h.former = next, h.authority
}

// link returns the link of the invite.
func (h *house) link(t *testing.T) string {
	t.Helper()
	pin := ""
	if h.authority != nil {
		pin = h.authority.Pin()
	}
	l, err := token.NewLink(h.url, h.invite, pin)
	if err != nil {
		t.Fatal(err)
	}
	return l.Reveal()
}

type shownKey struct{}

func (h *house) handler(via string) http.Handler {
	mux := http.NewServeMux()
	for _, add := range []func() (string, http.Handler){
		func() (string, http.Handler) { return ruedov1connect.NewLoginServiceHandler(h) },
		func() (string, http.Handler) { return ruedov1connect.NewUserServiceHandler(h) },
		func() (string, http.Handler) { return ruedov1connect.NewRoleServiceHandler(h) },
		func() (string, http.Handler) { return ruedov1connect.NewTokenServiceHandler(h) },
		func() (string, http.Handler) { return ruedov1connect.NewAuthorityServiceHandler(h) },
		func() (string, http.Handler) { return ruedov1connect.NewAuditServiceHandler(h) },
	} {
		mux.Handle(add())
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		text := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		id := ""
		if t, err := token.Parse(token.Bearer, text); err == nil {
			id = t.ID()
		}
		h.mu.Lock()
		h.shown = append(h.shown, strings.TrimSpace(name+" "+via+" "+id))
		ok := via == "socket" || h.good[text] || slices.Contains([]string{"Hello", "Login", "AcceptInvite"}, name)
		h.mu.Unlock()
		if !ok {
			faultrpc.WriteError(w, r, fault.New(fault.Unauthenticated, "this needs a login that is good"), false)
			return
		}
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), shownKey{}, text)))
	})
}

// asked returns how often a procedure was asked.
func (h *house) asked(procedure string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.shown {
		if name, _, _ := strings.Cut(s, " "); name == procedure {
			n++
		}
	}
	return n
}

// session makes a session.
func (h *house) session(user string) (*ruedov1.Token, string) {
	t := token.New(token.Bearer)
	h.good[t.Reveal()] = true
	return &ruedov1.Token{Id: t.ID(), User: user, Session: true, ExpireTime: timestamppb.New(time.Now().Add(24 * time.Hour))}, t.Reveal()
}

func refuse(reason fault.Reason, format string, args ...any) error {
	return faultrpc.ToConnect(fault.New(reason, format, args...))
}

func (h *house) Hello(context.Context, *ruedov1.HelloRequest) (*ruedov1.HelloResponse, error) {
	return &ruedov1.HelloResponse{Cluster: h.cluster, Login: !h.open}, nil
}

func (h *house) Login(_ context.Context, req *ruedov1.LoginRequest) (*ruedov1.LoginResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if req.GetUser() != "ada" || req.GetPassword() != h.password {
		return nil, refuse(fault.Unauthenticated, "this needs a login that is good")
	}
	t, secret := h.session("ada")
	return &ruedov1.LoginResponse{Token: t, Secret: secret}, nil
}

func (h *house) AcceptInvite(_ context.Context, req *ruedov1.AcceptInviteRequest) (*ruedov1.AcceptInviteResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case req.GetInvite() != h.invite.Reveal():
		return nil, refuse(fault.Unauthenticated, "this needs a login that is good")
	case h.used:
		return nil, refuse(fault.TokenUsed, "the invite was used already")
	case len(req.GetPassword()) < 12:
		return nil, refuse(fault.PasswordWeak, "the password has %d characters, 12 are needed", len(req.GetPassword()))
	}
	h.used, h.password = true, req.GetPassword()
	t, secret := h.session("ada")
	return &ruedov1.AcceptInviteResponse{Token: t, Secret: secret}, nil
}

func (h *house) Logout(ctx context.Context, _ *ruedov1.LogoutRequest) (*ruedov1.LogoutResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text, _ := ctx.Value(shownKey{}).(string)
	delete(h.good, text)
	return &ruedov1.LogoutResponse{}, nil
}

func (h *house) ChangePassword(_ context.Context, req *ruedov1.ChangePasswordRequest) (*ruedov1.ChangePasswordResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if req.GetPassword() != h.password {
		return nil, refuse(fault.Unauthenticated, "this needs a login that is good")
	}
	h.password, h.good = req.GetNewPassword(), map[string]bool{}
	t, secret := h.session("ada")
	return &ruedov1.ChangePasswordResponse{Token: t, Secret: secret}, nil
}

func (h *house) WhoAmI(ctx context.Context, _ *ruedov1.WhoAmIRequest) (*ruedov1.WhoAmIResponse, error) {
	res := &ruedov1.WhoAmIResponse{Principal: "local/ada", Cluster: h.cluster, Grants: []string{"* * *"}}
	if text, _ := ctx.Value(shownKey{}).(string); text != "" {
		t, err := token.Parse(token.Bearer, text)
		if err != nil {
			return nil, err
		}
		res.Principal, res.Roles, res.Token = "user/ada", []string{"admin"}, &ruedov1.Token{Id: t.ID(), ExpireTime: timestamppb.New(time.Now().Add(24 * time.Hour))}
	}
	return res, nil
}

func (h *house) Can(_ context.Context, req *ruedov1.CanRequest) (*ruedov1.CanResponse, error) {
	return &ruedov1.CanResponse{Allowed: strings.HasPrefix(req.GetAccess(), "read ")}, nil
}

func (h *house) GetUser(_ context.Context, req *ruedov1.GetUserRequest) (*ruedov1.GetUserResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.users[req.GetName()]
	if u == nil {
		return nil, refuse(fault.UserNotFound, "there is no user %q", req.GetName())
	}
	return &ruedov1.GetUserResponse{User: proto.CloneOf(u), TokenCount: uint32(len(h.good))}, nil
}

func (h *house) ListUsers(context.Context, *ruedov1.ListUsersRequest) (*ruedov1.ListUsersResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	res := &ruedov1.ListUsersResponse{}
	for _, u := range h.users {
		res.Items = append(res.Items, proto.CloneOf(u))
	}
	return res, nil
}

func (h *house) CreateUser(_ context.Context, req *ruedov1.CreateUserRequest) (*ruedov1.CreateUserResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := proto.CloneOf(req.GetUser())
	h.users[u.GetName()] = u
	res := &ruedov1.CreateUserResponse{User: u}
	if !u.GetMachine() {
		res.Invite = &ruedov1.Invite{Link: h.url + "/#" + h.invite.Reveal(), ExpireTime: timestamppb.New(time.Now().Add(time.Hour))}
	}
	return res, nil
}

func (h *house) UpdateUser(_ context.Context, req *ruedov1.UpdateUserRequest) (*ruedov1.UpdateUserResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conflicts > 0 {
		h.conflicts--
		h.users[req.GetUser().GetName()].Version++
		return nil, refuse(fault.Conflict, "user %s has changed", req.GetUser().GetName())
	}
	u := proto.CloneOf(req.GetUser())
	u.Version++
	h.users[u.GetName()] = u
	return &ruedov1.UpdateUserResponse{User: u}, nil
}

func (h *house) CreateToken(_ context.Context, req *ruedov1.CreateTokenRequest) (*ruedov1.CreateTokenResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, secret := h.session(req.GetUser())
	t.Session, t.Grants = false, req.GetGrants()
	t.ExpireTime = timestamppb.New(time.Now().Add(req.GetLifetime().AsDuration()))
	return &ruedov1.CreateTokenResponse{Token: t, Secret: secret}, nil
}

func (h *house) RotateToken(_ context.Context, req *ruedov1.RotateTokenRequest) (*ruedov1.RotateTokenResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, secret := h.session("ada")
	t.Id = req.GetId()
	t.PreviousUntil = timestamppb.New(time.Now().Add(req.GetGrace().AsDuration()))
	return &ruedov1.RotateTokenResponse{Token: t, Secret: secret}, nil
}

func (h *house) ListTokens(context.Context, *ruedov1.ListTokensRequest) (*ruedov1.ListTokensResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	res := &ruedov1.ListTokensResponse{}
	for text := range h.good {
		t, err := token.Parse(token.Bearer, text)
		if err != nil {
			return nil, err
		}
		res.Items = append(res.Items, &ruedov1.Token{Id: t.ID(), User: "ada"})
	}
	return res, nil
}

func (h *house) EndTokens(_ context.Context, req *ruedov1.EndTokensRequest) (*ruedov1.EndTokensResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.good, h.everybody = map[string]bool{}, req.GetEverybody()
	return &ruedov1.EndTokensResponse{}, nil
}

func (h *house) GetAuthority(context.Context, *ruedov1.GetAuthorityRequest) (*ruedov1.GetAuthorityResponse, error) {
	return &ruedov1.GetAuthorityResponse{Login: true, Authority: &ruedov1.Authority{Pin: h.authority.Pin(), ExpireTime: timestamppb.New(h.authority.Certificate().NotAfter)}}, nil
}

func (h *house) ListAuditRecords(_ context.Context, req *ruedov1.ListAuditRecordsRequest, stream *connect.ServerStream[ruedov1.ListAuditRecordsResponse]) error {
	var items []*ruedov1.AuditRecord
	for i, r := range []*ruedov1.AuditRecord{
		{Principal: "user/ada", Action: "publish", Noun: "service", Name: "greet", From: "10.0.0.1"},
		{Principal: "anonymous", Action: "login", Noun: "user", Name: "ada", Reason: "UNAUTHENTICATED", Via: "tcp", Count: 7},
	} {
		if r.GetReason() == "" && req.GetDenied() {
			continue
		}
		r.Chain, r.Seq, r.Version, r.Time = "c1", uint64(i+1), int64(i+1), timestamppb.Now()
		items = append(items, r)
	}
	return stream.Send(&ruedov1.ListAuditRecordsResponse{Items: items})
}

// home is a user's directory, in which the program runs.
type home struct {
	dir  string
	env  []string
	said *bytes.Buffer // all that was printed, but for what was asked for
}

func newHome(t *testing.T, env ...string) *home {
	dir := t.TempDir()
	return &home{dir, append([]string{"HOME=" + dir, "TMPDIR=" + dir}, env...), &bytes.Buffer{}}
}

func (h *home) file(path ...string) string { return filepath.Join(append([]string{h.dir}, path...)...) }

// token returns the token that is kept for a profile.
func (h *home) token(t *testing.T, profile string) string {
	t.Helper()
	data, err := os.ReadFile(h.file(".local", "state", "ruedo", "tokens", profile))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// run runs the program once.
func (h *home) run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	s := &session.Session{Ctx: t.Context(), Env: h.env, In: strings.NewReader(stdin), Out: &out, Err: &errs}
	err := run(s, args, resource.All())
	code = s.Exit(errors.Join(err, s.Close()))
	fmt.Fprintf(h.said, "%s\n%s\n", out.String(), errs.String())
	return code, out.String(), errs.String()
}

// try is one run, and what has to come of it: substrings, of which an empty one
// demands nothing.
type try struct {
	args           []string
	stdin          string
	code           int
	stdout, stderr string
}

func (h *home) do(t *testing.T, steps ...try) {
	t.Helper()
	for _, s := range steps {
		code, stdout, stderr := h.run(t, s.stdin, s.args...)
		if code != s.code || !strings.Contains(stdout, s.stdout) || !strings.Contains(stderr, s.stderr) {
			t.Errorf("ruedo %s: exit code %d, want %d\n%s\n%s\nwant %q and %q", strings.Join(s.args, " "), code, s.code, stdout, stderr, s.stdout, s.stderr)
		}
	}
}

// words splits a command line at spaces; what is between single quotes stays together.
func words(line string) (args []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	return args
}

// onSocket serves the house on the socket of the core that has a port of this machine.
func (h *house) onSocket(t *testing.T, dir, port string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "ruedo"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "ruedo", "core-"+port+".sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: h.handler("socket"), ReadHeaderTimeout: time.Minute}}
	srv.Start()
	t.Cleanup(srv.Close)
}
