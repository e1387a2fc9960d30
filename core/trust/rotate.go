package trust

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/pki"
)

// Rotate makes a new authority, for which the present one vouches. While the present
// one still needs the one before to vouch for it, it is refused with CONFLICT unless
// force is true: clients that have not connected since then would trust nobody.
func (t *Trust) Rotate(ctx context.Context, force bool) error {
	ring := t.ring.Load()
	if ring == nil {
		return noLogins()
	}
	stored, err := t.cfg.Principals.Authorities(ctx)
	if err != nil {
		return err
	}
	all := numbers(stored)
	if len(all) == 0 {
		return fault.New(fault.Integrity, "the authority of the cluster is gone from the store").WithFix("restore the data of etcd")
	}
	now, newest := time.Now(), all[0]
	was, err := t.openOne(ring, newest, stored[name(newest)])
	if err != nil {
		return err
	}
	if b := was.Bridge(); b != nil && now.Before(b.NotAfter) && !force {
		return fault.New(fault.Conflict, "the authority was rotated on %s, and the one before vouches for it until %s: whoever has not connected since would trust no core any more",
			b.NotBefore.UTC().Format(time.DateOnly), b.NotAfter.UTC().Format(time.DateOnly)).WithFix("wait until then, or force it if a key has been stolen")
	}
	next, err := was.Next(now)
	if err != nil {
		return err
	}
	made, err := t.sealed(ring, next, newest+1)
	if err != nil {
		return err
	}
	batch := principals.Batch{
		Change:      chain.Change{Action: "rotate", Noun: access.NounWord(access.Cluster), Name: t.cfg.Space.Cluster(), Summary: "a new authority, " + next.Pin()},
		If:          []principals.Seen{{Kind: keys.KindAuthority, Name: name(newest + 1)}},
		Authorities: map[string]*storev1.Authority{name(newest + 1): made},
	}
	for _, old := range all[1:] {
		batch.Delete = append(batch.Delete, principals.Seen{Kind: keys.KindAuthority, Name: name(old)})
	}
	revision, err := t.cfg.Principals.Write(ctx, batch)
	if err != nil {
		return err
	}
	return t.mirror.Load().Wait(ctx, revision)
}

func name(number uint64) string { return strconv.FormatUint(number, 10) }

func noLogins() error {
	return fault.New(fault.NotFound, "this cluster has no authority, because nobody has to log in to it").WithFix("require logins first, on the socket of a core")
}

// Handler returns the path and the handler of the AuthorityService.
func (t *Trust) Handler(opts ...connect.HandlerOption) (string, http.Handler) {
	return ruedov1connect.NewAuthorityServiceHandler(&service{t}, opts...)
}

// service answers the procedures of the AuthorityService.
type service struct{ trust *Trust }

var _ ruedov1connect.AuthorityServiceHandler = (*service)(nil)

func (s *service) GetAuthority(context.Context, *ruedov1.GetAuthorityRequest) (*ruedov1.GetAuthorityResponse, error) {
	all := s.trust.Authorities()
	if len(all) == 0 {
		return nil, noLogins()
	}
	return &ruedov1.GetAuthorityResponse{Authority: describe(all[0]), Login: true}, nil
}

func (s *service) RotateAuthority(ctx context.Context, req *ruedov1.RotateAuthorityRequest) (*ruedov1.RotateAuthorityResponse, error) {
	if err := s.trust.Rotate(ctx, req.GetForce()); err != nil {
		return nil, err
	}
	all := s.trust.Authorities()
	if len(all) == 0 {
		return nil, noLogins()
	}
	return &ruedov1.RotateAuthorityResponse{Authority: describe(all[0])}, nil
}

func (s *service) RequireLogin(ctx context.Context, _ *ruedov1.RequireLoginRequest) (*ruedov1.RequireLoginResponse, error) {
	if r := access.Of(ctx); r == nil || r.Via != access.ViaSocket && r.Via != access.ViaMemory {
		return nil, fault.New(fault.PermissionDenied, "only who is on the machine of a core can require logins: nobody has logged in yet").
			WithFix("run the command there, as the user of the core")
	}
	return &ruedov1.RequireLoginResponse{}, s.trust.RequireLogin(ctx)
}

func describe(a *pki.Authority) *ruedov1.Authority {
	c := a.Certificate()
	m := &ruedov1.Authority{
		Certificate: pki.PEM(c), Pin: a.Pin(), CreateTime: timestamppb.New(c.NotBefore), ExpireTime: timestamppb.New(c.NotAfter),
	}
	if b := a.Bridge(); b != nil {
		m.BridgeUntil = timestamppb.New(b.NotAfter)
	}
	return m
}
