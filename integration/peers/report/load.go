package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// Results are what all parts have found, each with a Save of its own.
type Results struct {
	Peers  []peer.Peer // the rows, in their order
	Drains []Drain
	Faults []Fault
	Parts  []Part // of the other parts, in the order of Names
	Names  []string
}

// The beginnings of the names under which the measurements of peers are saved; all others are
// Parts.
const (
	DrainPrefix = "drain-"
	KillPrefix  = "kill-"
	AwayPrefix  = "away-"
)

// Load reads the results of a directory. names are the other parts', in the order of their tables;
// one that is missing was not measured.
func Load(dir string, peers []peer.Peer, names ...string) (*Results, error) {
	r := &Results{Peers: peers}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		switch name := filepath.Base(file); {
		case strings.HasPrefix(name, DrainPrefix):
			err = read(file, &r.Drains)
		case strings.HasPrefix(name, KillPrefix), strings.HasPrefix(name, AwayPrefix):
			err = read(file, &r.Faults)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		file := filepath.Join(dir, name+".json")
		if !slices.Contains(files, file) {
			continue
		}
		if err := read(file, &r.Parts); err != nil {
			return nil, err
		}
		r.Names = append(r.Names, name)
	}
	return r, nil
}

// read appends what a file has.
func read[T any](file string, to *[]T) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read a result: %w", err)
	}
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("read the result in %s: %w", file, err)
	}
	*to = append(*to, v)
	return nil
}

// drain is the median of a peer's runs by how long it took; nil: there is none.
func (r *Results) drain(name string, latency time.Duration) *Drain {
	var runs []Drain
	for _, d := range r.Drains {
		if d.Peer == name && d.Latency == latency {
			runs = append(runs, d)
		}
	}
	if len(runs) == 0 {
		return nil
	}
	slices.SortFunc(runs, func(a, b Drain) int { return int(a.Took - b.Took) })
	return &runs[(len(runs)-1)/2]
}

// fault is a peer's run through a fault; nil: there is none.
func (r *Results) fault(name, kind string) *Fault {
	i := slices.IndexFunc(r.Faults, func(f Fault) bool { return f.Peer == name && f.Kind == kind })
	if i < 0 {
		return nil
	}
	return &r.Faults[i]
}
