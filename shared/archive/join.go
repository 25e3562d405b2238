package archive

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A Joiner makes whole records of their parts, which may be in several objects, since each part is
// a frame of its own. The zero value is ready. It is not safe for concurrent use.
type Joiner struct {
	records map[string]*parts
	held    int             // bytes
	whole   map[string]bool // the records that were given: the archive may have a part twice
}

type parts struct {
	data    [][]byte
	missing int
}

// maxHeld bounds the parts that wait for others, in bytes.
const maxHeld = 64 << 20

// Add takes a record or a part. ok is true if it is whole, or was the last part that its record
// needed: then whole is that record, which is given once. It copies what it retains.
func (j *Joiner) Add(r Record) (whole Record, ok bool, err error) {
	switch {
	case r.Parts == 0:
		return r, true, nil
	case j.whole[r.Whole]:
		return Record{}, false, nil
	}
	if j.held+len(r.data) > maxHeld {
		return Record{}, false, fmt.Errorf("over %d MB of parts of records lack the other parts", maxHeld>>20)
	}
	if j.records == nil {
		j.records, j.whole = map[string]*parts{}, map[string]bool{}
	}
	p := j.records[r.Whole]
	if p != nil && len(p.data) != r.Parts { // damage: no record has the hash of another
		j.drop(r.Whole)
		p = nil
	}
	if p == nil {
		p = &parts{data: make([][]byte, r.Parts), missing: r.Parts}
		j.records[r.Whole] = p
	}
	if p.data[r.Part-1] == nil {
		p.data[r.Part-1] = bytes.Clone(r.data)
		p.missing--
		j.held += len(r.data)
	}
	if p.missing > 0 {
		return Record{}, false, nil
	}
	line := bytes.Join(p.data, nil)
	j.drop(r.Whole)
	j.whole[r.Whole] = true
	whole, err = ParseRecord(line)
	return whole, err == nil, err
}

func (j *Joiner) drop(whole string) {
	for _, data := range j.records[whole].data {
		j.held -= len(data)
	}
	delete(j.records, whole)
}

// Clone returns a Joiner that waits for the same parts.
func (j *Joiner) Clone() Joiner {
	if j.records == nil {
		return Joiner{}
	}
	clone := Joiner{records: make(map[string]*parts, len(j.records)), held: j.held, whole: maps.Clone(j.whole)}
	for whole, p := range j.records {
		clone.records[whole] = &parts{slices.Clone(p.data), p.missing}
	}
	return clone
}

var errIncomplete = errors.New("a record lacks parts")

// Incomplete is how many records lack a part.
func (j *Joiner) Incomplete() int { return len(j.records) }
