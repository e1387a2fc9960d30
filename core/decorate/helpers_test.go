package decorate_test

import (
	"fmt"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func sortFields(less func(a, b fault.Field) bool) cmp.Option { return cmpopts.SortSlices(less) }

func diffText(fields []fault.Field) string { return fmt.Sprint(fields) }
