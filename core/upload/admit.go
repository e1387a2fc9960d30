package upload

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// Admit decides by a module's structure whether the module may enter the
// cluster, and describes it. It does not execute any of it. The error's reason
// says what is wrong and its fix what to do.
func Admit(digest string, admission *wasmbin.Admission) (*ruedov1.Module, error) {
	info, err := admission.Finish()
	if err != nil {
		return nil, err
	}
	kind := ruedov1.Kind_KIND_FUNCTION
	switch info.Kind {
	case wasmbin.Command:
		kind = ruedov1.Kind_KIND_COMMAND
	case wasmbin.HTTP:
		kind = ruedov1.Kind_KIND_HTTP
	}
	return &ruedov1.Module{
		Digest:     digest,
		SizeBytes:  uint64(info.Size),
		Kind:       kind,
		Imports:    info.Imports,
		CreateTime: timestamppb.Now(),
	}, nil
}
