package wasmbin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/guess"
)

// function of the host: a name and its signature, parameters then results,
// where i is i32 and I is i64.
type function struct{ name, sig string }

// HostFunctions are the functions that a guest may import from a module, by
// name; nil for a module that a guest may not import from.
func HostFunctions(module string) map[string]FuncType {
	list := functions(module)
	if list == nil {
		return nil
	}
	m := make(map[string]FuncType, len(list))
	for _, f := range list {
		m[f.name] = parse(f.sig)
	}
	return m
}

func functions(module string) []function {
	switch module {
	case abi.HostModule:
		return []function{
			{abi.ImportInputSize, ">I"},
			{abi.ImportInputRead, "ii>i"},
			{abi.ImportOutputWrite, "ii>i"},
			{abi.ImportHeadRead, "ii>i"},
			{abi.ImportHeadWrite, "ii>i"},
			{abi.ImportFail, "iii>"},
			{abi.ImportLog, "iii>"},
			{abi.ImportBodyOpen, ">i"},
			{abi.ImportOutputFlush, ">i"},
			{abi.ImportTrailersWrite, "ii>i"},
			{abi.ImportStreamOpen, "ii>i"},
			{abi.ImportStreamHead, "iiii>i"},
		}
	case abi.WASIModule:
		// All of preview 1. The functions for sockets are for streams. Every Go
		// program that uses net imports some of them.
		return []function{
			{"args_get", "ii>i"},
			{"args_sizes_get", "ii>i"},
			{"clock_res_get", "ii>i"},
			{"clock_time_get", "iIi>i"},
			{"environ_get", "ii>i"},
			{"environ_sizes_get", "ii>i"},
			{"fd_advise", "iIIi>i"},
			{"fd_allocate", "iII>i"},
			{"fd_close", "i>i"},
			{"fd_datasync", "i>i"},
			{"fd_fdstat_get", "ii>i"},
			{"fd_fdstat_set_flags", "ii>i"},
			{"fd_fdstat_set_rights", "iII>i"},
			{"fd_filestat_get", "ii>i"},
			{"fd_filestat_set_size", "iI>i"},
			{"fd_filestat_set_times", "iIIi>i"},
			{"fd_pread", "iiiIi>i"},
			{"fd_prestat_dir_name", "iii>i"},
			{"fd_prestat_get", "ii>i"},
			{"fd_pwrite", "iiiIi>i"},
			{"fd_read", "iiii>i"},
			{"fd_readdir", "iiiIi>i"},
			{"fd_renumber", "ii>i"},
			{"fd_seek", "iIii>i"},
			{"fd_sync", "i>i"},
			{"fd_tell", "ii>i"},
			{"fd_write", "iiii>i"},
			{"path_create_directory", "iii>i"},
			{"path_filestat_get", "iiiii>i"},
			{"path_filestat_set_times", "iiiiIIi>i"},
			{"path_link", "iiiiiii>i"},
			{"path_open", "iiiiiIIii>i"},
			{"path_readlink", "iiiiii>i"},
			{"path_remove_directory", "iii>i"},
			{"path_rename", "iiiiii>i"},
			{"path_symlink", "iiiii>i"},
			{"path_unlink_file", "iii>i"},
			{"poll_oneoff", "iiii>i"},
			{"proc_exit", "i>"},
			{"proc_raise", "i>i"},
			{"random_get", "ii>i"},
			{"sched_yield", ">i"},
			{"sock_accept", "iii>i"},
			{"sock_recv", "iiiiii>i"},
			{"sock_send", "iiiii>i"},
			{"sock_shutdown", "ii>i"},
		}
	}
	return nil
}

func parse(sig string) FuncType {
	list := func(s string) []ValType {
		var ts []ValType
		for _, c := range s {
			if c == 'I' {
				ts = append(ts, I64)
			} else {
				ts = append(ts, I32)
			}
		}
		return ts
	}
	params, results, _ := strings.Cut(sig, ">")
	return FuncType{Params: list(params), Results: list(results)}
}

// imports checks every import against the functions of the host.
func imports(m *Module) error {
	allowed := map[string]map[string]FuncType{
		abi.HostModule: HostFunctions(abi.HostModule),
		abi.WASIModule: HostFunctions(abi.WASIModule),
	}
	var refused []string
	var build guess.Build
	for _, im := range m.Imports {
		want, ok := allowed[im.Module][im.Name]
		if !ok {
			refused = append(refused, bare(im.Module)+"."+bare(im.Name))
			build.Import(im.Module, im.Name)
			continue
		}
		if t := m.Types[im.Type]; !same(t, want) {
			refused = append(refused, fmt.Sprintf("%s.%s with the signature %s (the host's is %s)", im.Module, im.Name, t, want))
		}
	}
	if len(refused) == 0 {
		return nil
	}
	const maxListed = 20
	list := strings.Join(refused[:min(len(refused), maxListed)], ", ")
	if n := len(refused) - maxListed; n > 0 {
		list += fmt.Sprintf(" and %d more", n)
	}
	return &fault.Error{
		Reason:  fault.ImportNotAllowed,
		Message: "the module imports what the host does not provide: " + list,
		Fix:     build.Fix(),
		Err:     errors.New("allowed are " + allowList(abi.HostModule) + " and " + allowList(abi.WASIModule)),
	}
}

// bare returns a name as it is if it is plain, otherwise quoted.
func bare(s string) string {
	if s == "" || len(s) > 80 {
		return printable(s)
	}
	for _, c := range s {
		plain := c == '_' || c == '-' || c == '.' || c == ':' || c == '/' || c == '@' ||
			'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !plain {
			return printable(s)
		}
	}
	return s
}

func allowList(module string) string {
	var names []string
	for _, f := range functions(module) {
		names = append(names, f.name)
	}
	return module + ".{" + strings.Join(names, ", ") + "}"
}
