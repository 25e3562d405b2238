package status

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Keeper changes the document in a store and puts the pages that show it. It is safe for
// concurrent use, and for use beside other keepers of the same store: what one has changed the
// others see, and none overwrites it.
type Keeper struct {
	Store Store
	// Site is what the pages are called; nil: what SiteFile in the store says, and if there is none
	// the default.
	Site *Site
	// Peers are the stores of the same site's other regions. Their documents are merged in before
	// each change, so that an operator needs to write to one of them. One that can't be read is
	// left out.
	Peers []Store

	mu      sync.Mutex
	changes int                 // of the document of which all files were last put
	full    time.Time           // when they were
	put     map[string][32]byte // sums of the files that were last put
}

const (
	// tries is how often a change is tried while others write. Two writers a minute and an operator
	// hardly meet once.
	tries = 8
	// pause is the mean time between two tries.
	pause = 100 * time.Millisecond
	// fullAfter is when files are put again that have not changed, in case that a slower writer has
	// put an older one.
	fullAfter = time.Hour
	// maxUntrimmed is how large a document may become while the months' files can't be written.
	maxUntrimmed = 1 << 20
)

// Observe adds an observation to the document and puts the pages. The document is returned also
// with an error if it was written: the error is then about pages or months, which the next call
// puts.
func (k *Keeper) Observe(ctx context.Context, o Observation) (Document, error) {
	return k.change(ctx, func(d Document, now time.Time) (Document, error) { return Observe(d, o, now), nil })
}

// Edit changes the document as an operator does, and puts the pages. edit may be called more than
// once. Its error is returned as it is, and nothing is written.
func (k *Keeper) Edit(ctx context.Context, edit func(d *Document, now time.Time) error) (Document, error) {
	return k.change(ctx, func(d Document, now time.Time) (Document, error) {
		err := edit(&d, now)
		d.WrittenAt = now
		return d, err
	})
}

// Read returns the document as it is in the store; ErrNotFound if there is none yet.
func (k *Keeper) Read(ctx context.Context) (Document, error) {
	data, _, err := k.Store.Read(ctx, DocumentFile)
	if err != nil {
		return New(), fmt.Errorf("read %s: %w", DocumentFile, err)
	}
	d, err := Parse(data)
	if err != nil {
		return d, fmt.Errorf("read %s: %w", DocumentFile, err)
	}
	return d, nil
}

func (k *Keeper) change(ctx context.Context, change func(Document, time.Time) (Document, error)) (Document, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for try := 1; ; try++ {
		w, err := k.once(ctx, change)
		if err == nil {
			return w.document, errors.Join(w.note, k.publish(ctx, &w))
		}
		if !errors.Is(err, ErrChanged) || try == tries {
			return New(), err
		}
		select {
		case <-ctx.Done():
			return New(), fmt.Errorf("write %s: %w", DocumentFile, context.Cause(ctx))
		case <-time.After(rand.N(2 * pause)):
		}
	}
}

// written is a document that is in the store.
type written struct {
	document Document
	months   []Month // whose files were written too
	note     error   // what went wrong beside it
}

// once reads the document, changes it and writes it.
func (k *Keeper) once(ctx context.Context, change func(Document, time.Time) (Document, error)) (w written, err error) {
	now := second(time.Now())
	d, version, note, err := k.load(ctx, now)
	if err != nil {
		return w, err
	}
	months, err := k.archive(ctx, &d)
	w.months, w.note = months, errors.Join(note, err)
	if err == nil {
		d, _ = Trim(d)
	} else if len(d.Encode()) > maxUntrimmed {
		var cut int
		d, cut = Trim(d)
		d.Lost += cut
	}
	for _, peer := range k.Peers {
		if data, _, err := peer.Read(ctx, DocumentFile); err == nil {
			if theirs, err := Parse(data); err == nil && !theirs.ObservedAt.After(now.Add(maxSkew)) {
				theirs, _ = Trim(theirs) // else what both cut would come back from the other
				d = d.adopt(theirs)
			}
		}
	}
	if w.document, err = change(d, now); err != nil {
		return w, err
	}
	if err := k.Store.Write(ctx, DocumentFile, w.document.Encode(), version); err != nil {
		return w, fmt.Errorf("write %s: %w", DocumentFile, err)
	}
	return w, nil
}

// publish puts the pages that are new. After a change it puts all of them, because another writer
// may have put others meanwhile.
func (k *Keeper) publish(ctx context.Context, w *written) error {
	site, err := k.site(ctx)
	files := Render(site, w.document, w.months)
	if k.Site != nil {
		files[SiteFile] = encode(k.Site) // for keepers that are not given one, as an operator's
	}
	all := k.changes != w.document.Changes || time.Since(k.full) >= fullAfter
	if all {
		k.put = map[string][32]byte{}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		if name == DocumentFile || slices.Contains(monthFiles(w.months), name) || k.put[name] == sum { // written
			continue
		}
		if failed := k.Store.Put(ctx, name, ContentType(name), files[name]); failed != nil {
			err = errors.Join(err, fmt.Errorf("put %s: %w", name, failed))
			continue
		}
		k.put[name] = sum
	}
	if all && err == nil {
		k.changes, k.full = w.document.Changes, time.Now()
	}
	return err
}

func monthFiles(months []Month) (names []string) {
	for _, m := range months {
		names = append(names, MonthFile(m.Month))
	}
	return names
}

// Months reads the files of the document's months, newest first, with what the document has beside
// them.
func (k *Keeper) Months(ctx context.Context, d Document) ([]Month, error) {
	var all []Month
	for _, name := range d.Months {
		m, _, _, err := k.month(ctx, name)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return all, err
		}
		all = append(all, Archive(m, d))
	}
	return all, nil
}

// ReadSite returns what the site is called: Site, or SiteFile in the store, or the default.
func (k *Keeper) ReadSite(ctx context.Context) (Site, error) { return k.site(ctx) }

// site is what the pages are called; with an error it is the default one.
func (k *Keeper) site(ctx context.Context) (Site, error) {
	if k.Site != nil {
		return *k.Site, nil
	}
	data, _, err := k.Store.Read(ctx, SiteFile)
	if errors.Is(err, ErrNotFound) {
		return Site{}, nil
	}
	s, parsed := Site{}, error(nil)
	if err == nil {
		if s, parsed = ParseSite(data); errors.Is(parsed, ErrUnknownField) {
			parsed = nil
		}
	}
	if err = errors.Join(err, parsed); err != nil {
		return Site{}, fmt.Errorf("read %s: %w", SiteFile, err)
	}
	return s, nil
}

// load reads the document. One that is broken is kept beside it under the time's name, and what the
// files of the months have is taken instead; the note says so.
func (k *Keeper) load(ctx context.Context, now time.Time) (d Document, version string, note, err error) {
	data, version, err := k.Store.Read(ctx, DocumentFile)
	if err == nil {
		d, err = Parse(data)
	}
	switch {
	case err == nil:
		return d, version, nil, nil
	case errors.Is(err, ErrNotFound):
		d, err = k.rebuild(ctx, now)
		return d, "", nil, err
	case !errors.Is(err, ErrBroken):
		return d, "", nil, fmt.Errorf("read %s: %w", DocumentFile, err)
	}
	if note, err = k.keepBroken(ctx, DocumentFile, data, err); err != nil {
		return d, "", nil, err
	}
	d, err = k.rebuild(ctx, now)
	return d, version, note, err
}

// keepBroken copies a file that can't be read, before it is replaced, and says so.
func (k *Keeper) keepBroken(ctx context.Context, name string, data []byte, broken error) (note, err error) {
	copied := "broken/" + strings.ReplaceAll(name, "/", "-") + "-" + short12(string(data))
	if err := k.Store.Put(ctx, copied, ContentType(name), data); err != nil {
		return nil, fmt.Errorf("copy the broken %s to %s: %w", name, copied, err)
	}
	return fmt.Errorf("read %s: %w: it is kept as %s, and a new one begins with what else is known", name, broken, copied),
		nil
}

// rebuild makes a document of the files of the last two years.
func (k *Keeper) rebuild(ctx context.Context, now time.Time) (Document, error) {
	d := New()
	for back := range maxPending {
		name := monthOf(now).AddDate(0, -back, 0).Format(monthForm)
		m, _, _, err := k.month(ctx, name)
		switch {
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrBroken):
			continue
		case err != nil:
			return d, err
		}
		d.Months = append(d.Months, name)
		d.Incidents = mergeIncidents(d.Incidents, m.Incidents)
		d.Maintenances = mergeMaintenances(d.Maintenances, m.Maintenances)
		if back > 3 {
			continue
		}
		for _, x := range m.Components {
			c := d.component(x.Part, x.Region, now)
			c.NamedAt, c.Days = now, mergeDays(c.Days, x.Days)
		}
	}
	return d, nil
}

func (k *Keeper) month(ctx context.Context, name string) (m Month, data []byte, version string, err error) {
	file := MonthFile(name)
	data, version, err = k.Store.Read(ctx, file)
	if err == nil {
		m, err = ParseMonth(data)
	}
	if err != nil {
		return Month{Month: name}, data, version, fmt.Errorf("read %s: %w", file, err)
	}
	m.Month = name
	return m, data, version, nil
}

// archive writes the files of the months that lack something of the document, which is the stored
// one: what another writer's change may yet replace is in no month's file.
func (k *Keeper) archive(ctx context.Context, d *Document) (months []Month, err error) {
	for _, name := range slices.Clone(d.Pending) {
		m, failed := k.archiveMonth(ctx, name, d)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		months = append(months, m)
		d.Months = union(d.Months, []string{name})
		d.Pending = slices.DeleteFunc(d.Pending, func(x string) bool { return x == name })
	}
	return months, err
}

func (k *Keeper) archiveMonth(ctx context.Context, name string, d *Document) (Month, error) {
	for try := 1; ; try++ {
		m, data, version, err := k.month(ctx, name)
		if errors.Is(err, ErrBroken) {
			_, err = k.keepBroken(ctx, MonthFile(name), data, err)
		} else if errors.Is(err, ErrNotFound) {
			err = nil
		}
		if err != nil {
			return m, err
		}
		m = Archive(m, *d)
		err = k.Store.Write(ctx, MonthFile(name), m.Encode(), version)
		if err == nil {
			return m, nil
		}
		if !errors.Is(err, ErrChanged) || try == tries {
			return m, fmt.Errorf("write %s: %w", MonthFile(name), err)
		}
	}
}
