package main

import (
	"fmt"
	"strings"
)

// maxNotes is how many things a bot remembers.
const maxNotes = 100

// bot is one side of a conversation. The zero value knows nothing.
type bot struct {
	name  string
	notes []string
}

// answer returns what the bot says to a message, and whether that is the last word.
func (b *bot) answer(message string) (text string, bye bool) {
	message = strings.TrimSpace(message)
	if name, ok := strings.CutPrefix(message, "my name is "); ok {
		b.name = name
		return "Hello, " + b.name + "!", false
	}
	if note, ok := strings.CutPrefix(message, "remember "); ok {
		if len(b.notes) == maxNotes {
			return "That is too much for me.", false
		}
		b.notes = append(b.notes, note)
		return fmt.Sprintf("Things that I remember: %d.", len(b.notes)), false
	}
	switch message {
	case "who am I":
		if b.name == "" {
			return "You have not said.", false
		}
		return "You are " + b.name + ".", false
	case "recall":
		if len(b.notes) == 0 {
			return "There is nothing to recall.", false
		}
		return strings.Join(b.notes, "; "), false
	case "bye":
		return "Goodbye.", true
	}
	return `I understand "my name is ...", "who am I", "remember ...", "recall" and "bye".`, false
}
