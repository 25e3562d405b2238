package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
)

// Files keep checkpoints. The archive's own Store is one: then a replay can go on from another
// machine. A directory is for who may read the archive only.
type Files interface {
	Files(ctx context.Context, prefix string) iter.Seq2[string, error]
	// ReadFile returns archive.ErrNotFound if there is no such file.
	ReadFile(ctx context.Context, name string) ([]byte, error)
	WriteFile(ctx context.Context, name string, data []byte) error
}

// formatVersion is that of the checkpoint's files. A version that writes another must read this
// one.
const formatVersion = 1

// plan is what a replay does, written once. Its objects are named in it so that one that arrives
// meanwhile, whose name may be before the position, moves nothing.
type plan struct {
	Format   int          `json:"format"`
	ID       string       `json:"id"`
	Pipeline string       `json:"pipeline"`
	Began    time.Time    `json:"began"`
	Options  Options      `json:"options"`
	Objects  []planObject `json:"objects"`
}

type planObject struct {
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	Version string `json:"version,omitempty"`
}

// checkpoint is how far a replay has come, written after each load.
type checkpoint struct {
	Format   int       `json:"format"`
	At       time.Time `json:"at"`
	Position position  `json:"position"`
	Sent     int64     `json:"sent"` // events
	Finished bool      `json:"finished"`
	// Run is the run that has written it. Any other one ends.
	Run string `json:"run,omitempty"`
}

// folder is where the files of replays are.
const folder = "replay/"

func planFile(id string) string       { return folder + id + ".json" }
func checkpointFile(id string) string { return folder + id + ".progress.json" }

// validID reports whether an ID can be one of NewID: it becomes a part of a file's name.
func validID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// ErrUnknownID says that there is no replay with an ID.
var ErrUnknownID = errors.New("there is no such replay")

// loadPlan reads a replay's files.
func loadPlan(ctx context.Context, f Files, id string) (p plan, c checkpoint, err error) {
	if !validID(id) {
		return p, c, ErrUnknownID
	}
	if err := readJSON(ctx, f, planFile(id), &p); err != nil {
		if errors.Is(err, archive.ErrNotFound) {
			err = ErrUnknownID
		}
		return p, c, err
	}
	if err := readJSON(ctx, f, checkpointFile(id), &c); err != nil && !errors.Is(err, archive.ErrNotFound) {
		return p, c, err
	}
	if p.Format != formatVersion || c.Format > formatVersion {
		return p, c, fmt.Errorf("the replay was begun by a newer version of Spillway: format %d", max(p.Format, c.Format))
	}
	if c.Finished {
		return p, c, nil
	}
	return p, c, c.check(&p)
}

// ErrTakenOver says that another run goes on with the replay.
var ErrTakenOver = errors.New("another run goes on with this replay")

// save writes a checkpoint, unless another run has written one since: both would send all that is left.
func (r *Replay) save(ctx context.Context, c checkpoint) error {
	ctx, cancel := context.WithTimeout(ctx, 2*callTimeout)
	defer cancel()
	var now checkpoint
	err := readJSON(ctx, r.files, checkpointFile(r.plan.ID), &now)
	switch {
	case errors.Is(err, archive.ErrNotFound):
	case err != nil:
		return err
	case now.Run != r.run && now != r.last:
		return ErrTakenOver
	}
	c.Format, c.At, c.Run = formatVersion, time.Now().UTC(), r.run
	return writeJSON(ctx, r.files, checkpointFile(r.plan.ID), &c)
}

// check refuses a checkpoint that can't be the plan's.
func (c *checkpoint) check(p *plan) error {
	if at := c.Position; at.Object < 0 || at.Object > len(p.Objects) || at.Offset < 0 ||
		at.Line < 0 || at.Object == len(p.Objects) && at.isInside() {
		return fmt.Errorf("the checkpoint %s is damaged: it names object %d of %d", checkpointFile(p.ID), at.Object,
			len(p.Objects))
	}
	return nil
}

func readJSON(ctx context.Context, f Files, name string, into any) error {
	data, err := f.ReadFile(ctx, name)
	if err != nil {
		return fmt.Errorf("read the checkpoint %s: %w", name, err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read the checkpoint %s: %w", name, err)
	}
	return nil
}

// ErrNotSaved says that a checkpoint could not be written.
var ErrNotSaved = errors.New("write the checkpoint")

func writeJSON(ctx context.Context, f Files, name string, v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		err = f.WriteFile(ctx, name, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("%w %s: %w", ErrNotSaved, name, err)
	}
	return nil
}

// Unfinished returns the IDs of the replays that have not come to their end, oldest first.
func Unfinished(ctx context.Context, f Files) (ids []string, err error) {
	for name, err := range f.Files(ctx, folder) {
		if err != nil {
			return nil, err
		}
		id, ok := strings.CutSuffix(strings.TrimPrefix(name, folder), ".json")
		if !ok || strings.Contains(id, ".") {
			continue
		}
		var c checkpoint
		if err := readJSON(ctx, f, checkpointFile(id), &c); err != nil && !errors.Is(err, archive.ErrNotFound) {
			return nil, err
		}
		if !c.Finished {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// strip writes the plan of a replay that has finished. That it has is all that is asked for again.
// Whose events they were is not kept: somebody may have to be forgotten.
func (p *plan) strip(ctx context.Context, f Files) error {
	done := plan{Format: formatVersion, ID: p.ID, Pipeline: p.Pipeline, Began: p.Began}
	return writeJSON(ctx, f, planFile(p.ID), &done)
}

// objects returns the plan's objects as the store has them. The hour is not needed to read them.
func (p *plan) objects() []archive.Object {
	objects := make([]archive.Object, len(p.Objects))
	for i, o := range p.Objects {
		hour, _ := archive.ParseName(o.Name)
		objects[i] = archive.Object{Name: o.Name, Hour: hour, Size: o.Size, Version: o.Version}
	}
	return objects
}

// addObjects appends those of the store's objects that the plan does not name, and updates the
// sizes and versions of the others.
func (p *plan) addObjects(ctx context.Context, s archive.Store) error {
	index := make(map[string]int, len(p.Objects))
	for i, o := range p.Objects {
		index[o.Name] = i
	}
	from, to := p.Options.hours()
	for o, err := range s.Objects(ctx, from, to) {
		if err != nil {
			return fmt.Errorf("list the archive's objects: %w", err)
		}
		next := planObject{o.Name, o.Size, o.Version}
		if i, known := index[o.Name]; known {
			p.Objects[i] = next
		} else {
			p.Objects = append(p.Objects, next)
		}
	}
	return nil
}
