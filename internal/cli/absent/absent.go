// Package absent finds what a program uses although a guest does not have it:
// the network, files, other processes, and random numbers that differ from call
// to call.
//
//	found := absent.Source(dir, absent.Options{Command: true, Zones: absent.HasZones(wasm)})
//	found = absent.Module(wasm, imports, granted) // without source
//
// # Precision
//
// What is found is a warning, so a false one is worse than a missing one.
// Source reads the author's own packages alone: those of the module that the
// directory is in, and of modules that its go.mod replaces with directories. Of
// the packages of others, most import os or net and never use them; what a
// library needs, the sandbox says when it is asked for it. Names are read, not
// types, so it takes milliseconds next to a build, needs no other program, and
// works while the source does not compile.
package absent

import (
	"fmt"
	"strings"
)

// maxUses is how many places a finding names.
const maxUses = 3

// Thing is what a guest does not have.
type Thing string

// The things, in the order in which they are reported.
const (
	network   Thing = "network"
	outbound  Thing = "grant"
	files     Thing = "files"
	processes Thing = "processes"
	zones     Thing = "time zones"
	random    Thing = "random numbers"
	atBegin   Thing = "start"
)

// things says of each what happens and what to do instead.
var things = []struct {
	thing         Thing
	what, instead string
}{
	{network, "a service has no network: connections, listeners and name lookups fail", "let the caller pass what it needs"},
	{outbound, "no decorator of the service grants it the network, so it is refused with EGRESS_BLOCKED", `grant what it needs in a decorator, for example grants: {egress: ["GET https://api.example.com"]}`},
	{files, "a service has no files: / is empty and cannot be changed", "pass the content as input or environment, embed it with go:embed, or keep it in memory"},
	{processes, "a service cannot start programs", "do it in Go, or outside of the service"},
	{zones, "a service has no files, so no time zone but UTC is found", `import _ "time/tzdata"`},
	{random, "its seed is part of the snapshot that each call begins with, so every call draws the same numbers", "use crypto/rand, or rand.New with a seed from crypto/rand within the call"},
	{atBegin, "it runs once, before the snapshot that each call begins with, so every call sees the same value", "do it within the call"},
}

// Use is a place that uses a thing.
type Use struct {
	// File and Line are where; "" and 0 for a module without source.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Name is what is used: a name of a package, such as net/http.Get, or of an
	// import, such as sock_send.
	Name string `json:"name"`
}

// String returns the place and the name: "main.go:14 net/http.Get".
func (u Use) String() string {
	if u.File == "" {
		return u.Name
	}
	return fmt.Sprintf("%s:%d %s", u.File, u.Line, u.Name)
}

// Finding is a thing that a program uses.
type Finding struct {
	Thing Thing `json:"thing"`
	// Uses are the places, in the order of the files; never empty.
	Uses []Use `json:"uses"`
	// What happens, and what to do instead.
	What    string `json:"what"`
	Instead string `json:"instead"`
}

// String returns the finding as a sentence.
func (f Finding) String() string {
	var places []string
	for _, u := range f.Uses[:min(len(f.Uses), maxUses)] {
		places = append(places, u.String())
	}
	if more := len(f.Uses) - maxUses; more > 0 {
		places = append(places, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(places, ", ") + ": " + f.What + "; " + f.Instead
}

// Key returns what is the same for two findings of the same uses, on whichever
// lines these are.
func (f Finding) Key() string {
	key := string(f.Thing)
	for _, u := range f.Uses {
		key += " " + u.File + " " + u.Name
	}
	return key
}

// group returns a finding for each thing that is used.
func group(uses map[Thing][]Use) (found []Finding) {
	for _, t := range things {
		if len(uses[t.thing]) > 0 {
			found = append(found, Finding{t.thing, uses[t.thing], t.what, t.instead})
		}
	}
	return found
}
