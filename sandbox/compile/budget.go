package compile

import "github.com/ruedo-dev/ruedo/sandbox/compile/budget"

// Budget is how many times its usual time a module can take to compile.
type Budget = budget.Budget

// Budgets; Proven is that of a module that was compiled before, here or on another
// machine.
const (
	Usual  = budget.Usual
	Proven = budget.Proven
)

// BudgetFor returns the budget of a module, given whether it was compiled before.
func BudgetFor(compiled bool) Budget {
	if compiled {
		return Proven
	}
	return Usual
}
