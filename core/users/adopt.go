package users

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/users/holdings"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// Adopt has a token that was made without a core become that of an administrator, if
// the cluster has none: of the program admin, which it creates. It reports whether it
// did. So a cluster can be installed without anybody at the machine of a core.
//
// Errors: TOKEN_INVALID; ALREADY_EXISTS if a user admin is there who is no
// administrator; the store's.
func (us *Users) Adopt(ctx context.Context, text string) (bool, error) {
	t, err := token.Parse(token.Bearer, text)
	if err != nil {
		return false, err
	}
	const name = access.AdminRole
	_, err = us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		for _, u := range v.Users {
			if v.Admin(u) {
				return b, errAdmin
			}
		}
		if v.Users[name] != nil {
			return b, fault.New(fault.AlreadyExists, "the user %s exists and is not an administrator, so the token cannot be theirs", name).
				WithFix("make them one, by the socket of a core")
		}
		now := time.Now()
		u := &storev1.User{
			User: &ruedov1.User{
				Name: name, Description: "Whoever has the token of the installation.", Machine: true, Roles: []string{access.AdminRole},
				CreateTime: timestamppb.New(now), UpdateTime: timestamppb.New(now),
			},
			Epoch: uint64(now.UnixNano()),
		}
		made := newToken(t, v, u, machineLifetime)
		made.Token.Description = "auth.admin_token_file"
		return principals.Batch{
			Change: chain.Change{Action: "adopt", Noun: "token", Name: t.ID(), Summary: describeToken(made.GetToken()) + "; there was no administrator"},
			If:     []principals.Seen{holdings.SeenUser(name, nil), holdings.SeenToken(t.ID(), nil)},
			Users:  []*storev1.User{u}, Tokens: []*storev1.Token{made},
		}, nil
	})
	if errors.Is(err, errAdmin) {
		return false, nil
	}
	return err == nil, err
}

// errAdmin says that there is an administrator already.
var errAdmin = errors.New("login: there is an administrator")
