// Package architecture holds the tests that keep the house in order: which room
// may import which, that every package says what it is, that generated code is
// up to date. docs/ARCHITECTURE.md draws what they enforce.
package architecture
