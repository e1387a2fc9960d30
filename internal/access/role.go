package access

import "slices"

// BuiltInRole is a role that is there in every cluster, and cannot be changed.
type BuiltInRole struct {
	Name        string
	Description string
	Grants      Set
}

// AdminRole is the name of the role that may do everything.
const AdminRole = "admin"

// BuiltIn returns the roles that are built in, by name.
func BuiltIn() []BuiltInRole {
	service, decorator, secret := every(Service), every(Decorator), every(Secret)
	return []BuiltInRole{
		{AdminRole, "Everything.", Set{Everything}},
		{"caller", "Call services.", service(Call)},
		{"publisher", "Write and call services, with their decorators and secrets.", slices.Concat(
			service(Read, Write, Call), decorator(Read, Write, Use), secret(Read, Use), every(Runner)(Read), every(Cluster)(Read),
		)},
		{"runner", "Attach as a runner and execute services.", service(Execute)},
		{"viewer", "Look at services, decorators, secrets, runners and the cluster.", slices.Concat(
			service(Read), decorator(Read), secret(Read), every(Runner)(Read), every(Cluster)(Read),
		)},
	}
}

// every returns a function that returns the grants of verbs for all names of a noun.
func every(noun Noun) func(verbs ...Verb) Set {
	return func(verbs ...Verb) Set {
		var set Set
		for _, verb := range verbs {
			set = append(set, Grant{verb, noun, star})
		}
		return set
	}
}

// FindBuiltIn returns the role with a name, if it is built in.
func FindBuiltIn(name string) (BuiltInRole, bool) {
	roles := BuiltIn()
	if i := slices.IndexFunc(roles, func(r BuiltInRole) bool { return r.Name == name }); i >= 0 {
		return roles[i], true
	}
	return BuiltInRole{}, false
}

// Held returns what somebody with these roles and grants may do. custom returns the
// grants of a role that is not built in. What does not exist or cannot be read adds
// nothing.
func Held(roles, grants []string, custom func(role string) (grants []string, ok bool)) Set {
	var set Set
	add := func(texts []string) {
		for _, text := range texts {
			if g, err := Parse(text); err == nil && !slices.Contains(set, g) {
				set = append(set, g)
			}
		}
	}
	for _, name := range roles {
		if r, ok := FindBuiltIn(name); ok {
			set = append(set, r.Grants...)
		} else if texts, ok := custom(name); ok {
			add(texts)
		}
	}
	add(grants)
	return set
}
