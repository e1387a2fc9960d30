package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	todov1 "github.com/ruedo-dev/ruedo/examples/todo/todo/v1"
)

// maxTasks is how many tasks a list can have.
const maxTasks = 1000

// list is tasks in the order in which to do them.
type list []*todov1.Task

// add puts a task in its place.
func (l *list) add(t *todov1.Task) error {
	if len(*l) == maxTasks {
		return fmt.Errorf("a list has at most %d tasks", maxTasks)
	}
	if strings.TrimSpace(t.GetTitle()) == "" {
		return fmt.Errorf("title is empty: say what to do")
	}
	if l.index(t.GetTitle()) >= 0 {
		return fmt.Errorf("the list already has %q", t.GetTitle())
	}
	if due := t.GetDue(); due != "" {
		if _, err := time.Parse(time.DateOnly, due); err != nil {
			return fmt.Errorf("due is %q: write a day such as 2026-12-24", due)
		}
	}
	after := slices.IndexFunc(*l, func(o *todov1.Task) bool { return compare(t, o) < 0 })
	if after < 0 {
		after = len(*l)
	}
	*l = slices.Insert(*l, after, t)
	return nil
}

// done removes a task.
func (l *list) done(title string) error {
	i := l.index(title)
	if i < 0 {
		return fmt.Errorf("the list has no %q", title)
	}
	*l = slices.Delete(*l, i, i+1)
	return nil
}

// index returns where the task with a title is, or -1.
func (l *list) index(title string) int {
	return slices.IndexFunc(*l, func(t *todov1.Task) bool { return t.GetTitle() == title })
}

// compare returns which of two tasks comes first: the one that is due first, then
// the important one.
func compare(a, b *todov1.Task) int {
	day := func(t *todov1.Task) string { return cmp.Or(t.GetDue(), "any day") } // after all digits
	rank := func(t *todov1.Task) int {
		if t.GetImportant() {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(day(a), day(b)), cmp.Compare(rank(a), rank(b)))
}
