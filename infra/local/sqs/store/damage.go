package store

import "fmt"

// Damage is what was written and can't be read.
type Damage struct {
	Files []FileDamage // up to maxListed
	More  int          // how many are not listed
	// Messages is how many acknowledged messages are lost, by the numbers of the messages around the
	// damage. It includes those whose deletion is lost with them.
	Messages int64
	// Uncounted is how many of the damages hit an unknown number of messages: at the end of the log,
	// after a process that was killed.
	Uncounted int
}

// maxListed bounds the memory of a damage.
const maxListed = 100

// FileDamage is one damaged place.
type FileDamage struct {
	File          string
	Offset, Bytes int64 // Bytes is 0 for a file that is missing
	What          string
	Messages      int64 // that were lost with it
	Uncounted     bool  // Messages is not known
}

// String describes the damage in a line.
func (d FileDamage) String() string {
	lost := fmt.Sprintf("%d messages lost", d.Messages)
	if d.Uncounted {
		lost = "an unknown number of messages lost"
	}
	if d.Bytes == 0 && d.Offset == 0 {
		return fmt.Sprintf("%s: %s: %s", d.File, d.What, lost)
	}
	return fmt.Sprintf("%s: offset %d, %d bytes: %s: %s", d.File, d.Offset, d.Bytes, d.What, lost)
}

// None reports whether nothing is damaged.
func (d *Damage) None() bool { return len(d.Files) == 0 && d.Messages == 0 }

func (d *Damage) add(f FileDamage) {
	d.Messages += f.Messages
	if f.Uncounted {
		d.Uncounted++
	}
	if len(d.Files) < maxListed {
		d.Files = append(d.Files, f)
	} else {
		d.More++
	}
}
