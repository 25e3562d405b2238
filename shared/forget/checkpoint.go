package forget

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
)

const (
	// checkpointPrefix begins the names of the checkpoints in a store.
	checkpointPrefix = "forget/"
	// checkpointEvery is how much work is done again, at most, after a run was killed.
	checkpointEvery = 5 * time.Second
	// rules is the version of what makes an event a person's: an object that an older version has
	// done is read again.
	rules = "1"
)

// A checkpoint names the objects that hold none of a person's events, so that the next run need not
// read them. Its name is a hash: it does not say who was forgotten.
type checkpoint struct {
	name  string
	there bool // in the store
	wrote time.Time
	// Done are the versions of the objects by their names.
	Done map[string]string `json:"done"`
	// Wholes are records in parts that are being removed.
	Wholes []string `json:"wholes,omitempty"`
}

// readCheckpoint returns the checkpoint of an earlier run with the same options.
func readCheckpoint(ctx context.Context, store archive.Store, o *Options) (*checkpoint, error) {
	c := &checkpoint{name: checkpointPrefix + o.hash() + ".json"}
	text, err := store.ReadFile(ctx, c.name)
	switch {
	case errors.Is(err, archive.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("read the checkpoint %s: %w", c.name, err)
	default:
		c.there = true
		if json.Unmarshal(text, c) != nil { // all is read again
			c.Done, c.Wholes = nil, nil
		}
	}
	if c.Done == nil {
		c.Done = map[string]string{}
	}
	return c, nil
}

// hash tells runs with other options apart.
func (o *Options) hash() string {
	text, _ := json.Marshal([]any{rules, slices.Sorted(slices.Values(o.Person.UserIDs)),
		slices.Sorted(slices.Values(o.Person.AnonymousIDs)), o.Unreadable}) // strings always can be encoded
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

func (c *checkpoint) has(o archive.Object) bool {
	version, ok := c.Done[o.Name]
	return ok && version == o.Version
}

// retain removes objects that have expired.
func (c *checkpoint) retain(there map[string]bool) {
	for name := range c.Done {
		if !there[name] {
			delete(c.Done, name)
		}
	}
}

// add adds an object, and writes the checkpoint if that was long ago.
func (c *checkpoint) add(ctx context.Context, store archive.Store, o archive.Object) error {
	c.Done[o.Name] = o.Version
	if time.Since(c.wrote) < checkpointEvery {
		return nil
	}
	return c.write(ctx, store)
}

func (c *checkpoint) write(ctx context.Context, store archive.Store) error {
	text, err := json.Marshal(c)
	if err == nil {
		err = store.WriteFile(ctx, c.name, text)
	}
	if err != nil {
		return fmt.Errorf("write the checkpoint %s: %w", c.name, err)
	}
	c.wrote, c.there = time.Now(), true
	return nil
}

// finish writes the checkpoint at the end of a run, also of one that was interrupted. A run that
// has found nothing ends the work, and removes it. It returns the run's error first.
func (c *checkpoint) finish(ctx context.Context, store archive.Store, failed error, nothing bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	var err error
	switch {
	case failed == nil && nothing && c.there:
		if err = store.DeleteFile(ctx, c.name); err != nil {
			err = fmt.Errorf("remove the checkpoint %s: %w", c.name, err)
		}
	case failed == nil && nothing:
	default:
		err = c.write(ctx, store)
	}
	if failed != nil {
		return failed
	}
	return err
}

// finishTimeout bounds the last write of a run that was interrupted.
const finishTimeout = 10 * time.Second
