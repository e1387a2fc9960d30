package sandboxed

import (
	"fmt"
	"os"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// report prints the rows, followed by the targets.
func (b *bench) report() error {
	fmt.Println()
	if err := table.Print(os.Stdout, b.rows); err != nil {
		return err
	}
	return table.Judge(os.Stdout, b.rows, targets, func(row string) string {
		part, _, _ := strings.Cut(row, "/")
		return b.loads[part]
	})
}
