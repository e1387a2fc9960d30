package holdings

import (
	"github.com/ruedo-dev/ruedo/core/store/principals"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// SeenRoles names the roles of a list that are stored: others are built in, or do not
// exist.
func (v View) SeenRoles(names []string) []principals.Seen {
	var seen []principals.Seen
	for _, name := range names {
		if r := v.Roles[name]; r != nil {
			seen = append(seen, SeenRole(name, r))
		}
	}
	return seen
}

// SeenUser names a user; nil says that there is none.
func SeenUser(name string, u *storev1.User) principals.Seen {
	return principals.Seen{Kind: keys.KindUser, Name: name, Version: u.GetUser().GetVersion()}
}

// SeenToken names a token; nil says that there is none.
func SeenToken(id string, t *storev1.Token) principals.Seen {
	return principals.Seen{Kind: keys.KindToken, Name: id, Version: t.GetVersion()}
}

// SeenTokens names tokens.
func SeenTokens(tokens []*storev1.Token) []principals.Seen {
	var seen []principals.Seen
	for _, t := range tokens {
		seen = append(seen, SeenToken(t.GetToken().GetId(), t))
	}
	return seen
}

// SeenRole names a role; nil says that there is none.
func SeenRole(name string, r *storev1.Role) principals.Seen {
	return principals.Seen{Kind: keys.KindRole, Name: name, Version: r.GetRole().GetVersion()}
}
