package users

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/users/holdings"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/token"
)

const (
	// machineLifetime is how long the token of a program lives, and maxLifetime any.
	machineLifetime = 90 * 24 * time.Hour
	maxLifetime     = 366 * 24 * time.Hour
	// maxGrace bounds how long the secret before a rotation is good.
	maxGrace = 7 * 24 * time.Hour
	// maxTokens bounds the tokens of a user, without sessions.
	maxTokens = 64
)

// newToken returns the record of a token.
func newToken(t token.Token, v holdings.View, u *storev1.User, life time.Duration) *storev1.Token {
	now, hash := time.Now(), t.Hash()
	return &storev1.Token{
		Token: &ruedov1.Token{Id: t.ID(), User: u.GetUser().GetName(), CreateTime: timestamppb.New(now), ExpireTime: timestamppb.New(now.Add(life))},
		Hash:  hash[:], Epoch: u.GetEpoch(), ClusterEpoch: v.Access().GetEpoch(),
	}
}

// NewSession returns the record of a session of a user, with a token that shows it.
func (us *Users) NewSession(t token.Token, v holdings.View, u *storev1.User) *storev1.Token {
	made := newToken(t, v, u, us.cfg.Session)
	made.Token.Session = true
	return made
}

// Shown returns a token without what only cores read.
func (us *Users) Shown(t *storev1.Token) *ruedov1.Token {
	shown := proto.CloneOf(t.GetToken())
	if until := shown.GetPreviousUntil(); until != nil && !until.AsTime().After(time.Now()) {
		shown.PreviousUntil = nil
	}
	if shown.GetPreviousUntil() != nil {
		if at, ok := us.cfg.PreviousUsed(shown.GetId()); ok {
			shown.PreviousUsed = timestamppb.New(at)
		}
	}
	return shown
}

// CreateToken makes a token of a user, the caller if none is named, and returns its
// secret. It can have grants, and then allows what both they and the user allow.
//
// Errors: USER_NOT_FOUND, GRANT_INVALID, GRANT_EXCEEDS, REQUEST_INVALID,
// PERMISSION_DENIED, PRINCIPAL_LIMIT; the store's.
func (us *Users) CreateToken(ctx context.Context, req *ruedov1.CreateTokenRequest) (*ruedov1.Token, token.Token, error) {
	name, err := us.of(ctx, req.GetUser())
	if err != nil {
		return nil, token.Token{}, err
	}
	grants, err := access.ParseAll(req.GetGrants())
	if err != nil {
		return nil, token.Token{}, err
	}
	t := token.New(token.Bearer)
	var made *storev1.Token
	_, err = us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		u, err := us.user(ctx, v, name)
		if err != nil {
			return b, err
		}
		if name == access.Anonymous {
			return b, fault.New(fault.RequestInvalid, "the user %s cannot have tokens: it is whoever shows none", name)
		}
		otherwise := us.cfg.Session
		if u.GetUser().GetMachine() {
			otherwise = machineLifetime
		}
		life, err := lifetime(req.GetLifetime().AsDuration(), otherwise, maxLifetime)
		if err != nil {
			return b, err
		}
		if err := us.handsOut(ctx, v, u, grants); err != nil {
			return b, err
		}
		if own := slices.DeleteFunc(v.TokensOf(name), func(t *storev1.Token) bool { return t.GetToken().GetSession() }); len(own) >= maxTokens {
			return b, fault.New(fault.PrincipalLimit, "user %s has %d tokens, the limit", name, len(own)).With("limit", maxTokens, "actual", len(own)).WithFix("delete tokens that nobody needs")
		}
		made = newToken(t, v, u, life)
		made.Token.Description, made.Token.Grants = req.GetDescription(), req.GetGrants()
		return principals.Batch{
			Change: chain.Change{Action: "create", Noun: "token", Name: t.ID(), Summary: describeToken(made.GetToken())},
			If:     []principals.Seen{holdings.SeenToken(t.ID(), nil), holdings.SeenUser(name, u)},
			Tokens: []*storev1.Token{made},
		}, nil
	})
	if err != nil {
		return nil, token.Token{}, err
	}
	return us.Shown(made), t, nil
}

// handsOut returns GRANT_EXCEEDS if the caller must not get a secret of a user that is
// narrowed by grants: with it the caller could do more than before, or act as somebody
// who can.
func (us *Users) handsOut(ctx context.Context, v holdings.View, u *storev1.User, grants access.Set) error {
	if len(grants) > 0 {
		if err := us.given(ctx, access.User, u.GetUser().GetName(), "the token", grants); err != nil {
			return err
		}
		if r := access.Of(ctx); r.User() == u.GetUser().GetName() {
			return nil
		}
	}
	return us.given(ctx, access.User, u.GetUser().GetName(), "whoever shows the token", v.Held(u.GetUser()))
}

// Tokens returns the tokens of a user that are good, or those of all users whose
// tokens the caller may see, by id. USER_NOT_FOUND, PERMISSION_DENIED.
func (us *Users) Tokens(ctx context.Context, user string) (map[string]*ruedov1.Token, error) {
	r, err := access.Caller(ctx)
	if err != nil {
		return nil, err
	}
	v := us.View()
	if user != "" {
		if user, err = us.of(ctx, user); err != nil {
			return nil, err
		}
		if _, err := us.user(ctx, v, user); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	all := map[string]*ruedov1.Token{}
	for id, t := range v.Tokens {
		owner := t.GetToken().GetUser()
		if (user == "" || owner == user) && owns(r, owner) && v.Good(t, now) {
			all[id] = us.Shown(t)
		}
	}
	return all, nil
}

// owns reports whether the tokens of a user are the caller's to see and to end.
func owns(r *access.Request, user string) bool {
	return r.User() == user || r.Allows(access.Write, access.User, user)
}

// of returns whom a request about tokens is about: a user, the caller if none is
// named. USER_NOT_FOUND, PERMISSION_DENIED.
func (us *Users) of(ctx context.Context, name string) (string, error) {
	r, err := access.Caller(ctx)
	if err != nil {
		return "", err
	}
	switch own := r.User(); {
	case name == "" && own == "":
		return "", fault.New(fault.RequestInvalid, "%s is not a user, and has no tokens", r.Name).WithFix("name a user")
	case name == "" || name == own:
		return own, nil
	}
	err = us.cfg.Check(ctx, access.Write, access.User, name)
	if errors.Is(err, access.ErrHidden) {
		err = us.cfg.Missing(ctx, access.User, name)
	}
	return name, err
}

// token returns a token that is the caller's to change. TOKEN_NOT_FOUND.
func (us *Users) token(ctx context.Context, v holdings.View, id string) (*storev1.Token, error) {
	r, err := access.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if t := v.Tokens[id]; t != nil && owns(r, t.GetToken().GetUser()) && v.Good(t, time.Now()) {
		return t, nil
	}
	return nil, fault.New(fault.TokenNotFound, "there is no token %q", fault.Cut(id, 16)).WithFix("list the tokens")
}

// RotateToken gives a token another secret. The one before is good until the grace
// ends. The token lives as long from now as it did before, unless the request says
// for how long.
//
// Errors: TOKEN_NOT_FOUND, GRANT_EXCEEDS, REQUEST_INVALID; the store's.
func (us *Users) RotateToken(ctx context.Context, req *ruedov1.RotateTokenRequest) (*ruedov1.Token, token.Token, error) {
	grace, err := lifetime(req.GetGrace().AsDuration(), 0, maxGrace)
	if err != nil {
		return nil, token.Token{}, err
	}
	var next *storev1.Token
	var t token.Token
	_, err = us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		was, err := us.token(ctx, v, req.GetId())
		if err != nil {
			return b, err
		}
		old := was.GetToken()
		u := v.Users[old.GetUser()]
		if r := access.Of(ctx); r.Token != old.GetId() { // otherwise the caller has a secret of it
			if err := us.handsOut(ctx, v, u, access.Held(nil, old.GetGrants(), nil)); err != nil {
				return b, err
			}
		}
		longest := maxLifetime
		if old.GetSession() {
			longest = MaxSession
		}
		life, err := lifetime(req.GetLifetime().AsDuration(), old.GetExpireTime().AsTime().Sub(old.GetCreateTime().AsTime()), longest)
		if err != nil {
			return b, err
		}
		if t, err = token.Renew(token.Bearer, old.GetId()); err != nil {
			return b, err
		}
		next = newToken(t, v, u, life)
		next.Token.Description, next.Token.Grants, next.Token.Session = old.GetDescription(), old.GetGrants(), old.GetSession()
		if until := time.Now().Add(grace); grace > 0 {
			if end := old.GetExpireTime().AsTime(); end.Before(until) {
				until = end
			}
			next.PreviousHash, next.Token.PreviousUntil = was.GetHash(), timestamppb.New(until)
		}
		return principals.Batch{
			Change: chain.Change{Action: "rotate", Noun: "token", Name: old.GetId(), Summary: describeToken(next.GetToken()), Before: was.GetVersion()},
			If:     []principals.Seen{holdings.SeenToken(old.GetId(), was), holdings.SeenUser(old.GetUser(), u)},
			Tokens: []*storev1.Token{next},
		}, nil
	})
	if err != nil {
		return nil, token.Token{}, err
	}
	return us.Shown(next), t, nil
}

// DeleteToken ends a token. TOKEN_NOT_FOUND; the store's.
func (us *Users) DeleteToken(ctx context.Context, id string) error {
	_, err := us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		was, err := us.token(ctx, v, id)
		return principals.Batch{
			Change: chain.Change{Action: "delete", Noun: "token", Name: id, Summary: "of user " + was.GetToken().GetUser(), Before: was.GetVersion()},
			Delete: []principals.Seen{holdings.SeenToken(id, was)},
		}, err
	})
	return err
}

// EndTokens ends all tokens and the invite of a user, the caller if none is named.
// USER_NOT_FOUND, PERMISSION_DENIED; the store's.
func (us *Users) EndTokens(ctx context.Context, user string) error {
	name, err := us.of(ctx, user)
	if err != nil {
		return err
	}
	_, err = us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		was, err := us.user(ctx, v, name)
		if err != nil {
			return b, err
		}
		next := proto.CloneOf(was)
		next.Epoch, next.Invite = next.GetEpoch()+1, ""
		return principals.Batch{
			Change: chain.Change{Action: "end-tokens", Noun: "user", Name: name, Summary: "all sessions and tokens end", Before: was.GetUser().GetVersion()},
			If:     []principals.Seen{holdings.SeenUser(name, was)},
			Users:  []*storev1.User{next},
			Delete: holdings.SeenTokens(v.TokensOf(name)),
		}, nil
	})
	return err
}

// EndAllTokens ends the tokens and invites of everybody.
//
// Errors: PERMISSION_DENIED unless the caller may write all users; REQUEST_INVALID if
// nobody has to log in; the store's.
func (us *Users) EndAllTokens(ctx context.Context) error {
	r, err := access.Caller(ctx)
	if err != nil {
		return err
	}
	if all := (access.Grant{Verb: access.Write, Noun: access.User, Pattern: "*"}); !r.Holds(all) {
		us.cfg.Denied(ctx, "write", "user", all.Pattern, fault.PermissionDenied)
		return access.Denied(r.Principal, all.Verb, all.Noun, all.Pattern)
	}
	_, err = us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		was := v.Access()
		if was == nil {
			return b, fault.New(fault.RequestInvalid, "nobody has to log in to this cluster, so ending all tokens changes nothing").WithFix("require logins first")
		}
		next := proto.CloneOf(was)
		next.Epoch++
		return principals.Batch{
			Change: chain.Change{Action: "end-tokens", Noun: "cluster", Name: us.cfg.Cluster, Summary: "the sessions and tokens of everybody end", Before: was.GetVersion()},
			If:     []principals.Seen{{Kind: keys.KindAccess, Name: keys.TheAccess, Version: was.GetVersion()}},
			Access: next,
		}, nil
	})
	return err
}

// describeToken says in the audit what a token is.
func describeToken(t *ruedov1.Token) string {
	s := "of user " + t.GetUser() + " until " + moment(t.GetExpireTime())
	if t.GetPreviousUntil() != nil {
		s += ", the secret before until " + moment(t.GetPreviousUntil())
	}
	return s + describeList("; grants ", t.GetGrants())
}

// describeList returns what and a list; "" if it is empty.
func describeList(what string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return what + strings.Join(list, ", ")
}

func moment(t *timestamppb.Timestamp) string { return t.AsTime().UTC().Format(time.RFC3339) }
