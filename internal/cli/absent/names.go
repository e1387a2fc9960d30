package absent

import "strings"

// when says which uses of a name count.
type when int

const (
	always when = iota
	// made is for types: creating a value counts, a parameter of the type does not.
	made
	// atStart counts in what runs before the snapshot: initial values of package
	// variables, and init functions.
	atStart
	// seeded counts if the numbers come from the seed of the program, which is
	// part of the snapshot.
	seeded
)

// rule is names of a package that need a thing.
type rule struct {
	path  string
	thing Thing
	when  when
	names map[string]bool
	// client is for names that use http.DefaultTransport.
	client bool
}

func names(path string, thing Thing, w when, list string) rule {
	set := make(map[string]bool)
	for _, name := range strings.Fields(list) {
		set[name] = true
	}
	return rule{path: path, thing: thing, when: w, names: set}
}

func (r rule) ofClients() rule {
	r.client = true
	return r
}

// rules returns all rules by the path of the package.
func rules() map[string][]rule {
	by := make(map[string][]rule)
	for _, r := range []rule{
		names("net", network, always, `Dial DialTimeout DialTCP DialUDP DialUnix DialIP Listen ListenPacket ListenTCP ListenUDP ListenUnix
			ListenUnixgram ListenIP ListenMulticastUDP LookupAddr LookupCNAME LookupHost LookupIP LookupMX LookupNS LookupSRV LookupTXT
			Interfaces InterfaceAddrs InterfaceByName DefaultResolver`),
		names("net", network, made, "Dialer ListenConfig Resolver"),
		names("net/http", network, always, "Get Head Post PostForm DefaultClient DefaultTransport").ofClients(),
		names("net/http", network, made, "Client").ofClients(),
		names("net/http", network, always, "ListenAndServe ListenAndServeTLS Serve ServeTLS"),
		names("net/http", network, made, "Server Transport"),
		names(sdkPath+"/sdk/web", outbound, always, "Dial Transport"),
		names("net/rpc", network, always, "Dial DialHTTP DialHTTPPath"),
		names("net/rpc/jsonrpc", network, always, "Dial"),
		names("net/smtp", network, always, "Dial SendMail"),
		names("net/textproto", network, always, "Dial"),
		names("crypto/tls", network, always, "Dial DialWithDialer Listen"),
		names("crypto/tls", network, made, "Dialer"),

		names("os", files, always, `Open OpenFile OpenRoot OpenInRoot Create CreateTemp MkdirTemp ReadFile WriteFile Mkdir MkdirAll ReadDir
			Rename Symlink Link Truncate DirFS CopyFS`),
		names("io/ioutil", files, always, "ReadFile WriteFile ReadDir TempFile TempDir"),
		names("path/filepath", files, always, "Walk WalkDir Glob"),
		names("text/template", files, always, "ParseFiles ParseGlob"),
		names("html/template", files, always, "ParseFiles ParseGlob"),

		names("os/exec", processes, always, "Command CommandContext LookPath"),
		names("os", processes, always, "StartProcess"),
		names("syscall", processes, always, "Exec ForkExec StartProcess"),

		names("time", zones, always, "LoadLocation"),

		names("math/rand", random, seeded, `Int Intn Int31 Int31n Int63 Int63n Uint32 Uint64 Float32 Float64 NormFloat64 ExpFloat64
			Perm Shuffle Read`),
		names("math/rand/v2", random, seeded, `Int IntN Int32 Int32N Int64 Int64N Uint UintN Uint32 Uint32N Uint64 Uint64N N
			Float32 Float64 NormFloat64 ExpFloat64 Perm Shuffle`),
		names("math/rand", random, atStart, "New"),
		names("math/rand/v2", random, atStart, "New"),
		names("crypto/rand", atBegin, atStart, "Read Reader Int Prime Text"),
		names("time", atBegin, atStart, "Now"),
	} {
		by[r.path] = append(by[r.path], r)
	}
	return by
}
