package dirstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
)

const (
	// interval is how often a Writer looks for objects that are too old, and whether the hour of
	// the one that it writes has passed.
	interval = time.Minute
	// abandoned is the age at which a file that a killed process was writing is removed.
	abandoned = time.Hour
)

// Stats is what a Writer knows of its archive. Removed counts from when it was opened.
type Stats struct {
	Objects int       // at the last look, which is at most a minute old
	Bytes   int64     // of objects and indexes
	Oldest  time.Time // hour of the oldest object; zero: there is none
	Removed Removed   // by the bounds
}

// Removed is what was removed because of the bounds. Records are those of objects with an index.
type Removed struct{ Objects, Records, Bytes int64 }

// Stats returns what the Writer knows of its archive.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// recover finishes what a Writer that was killed has left, and looks for indexes that are missing.
func (w *Writer) recover() error {
	ctx := context.Background()
	if err := w.store.sweep(); err != nil {
		return err
	}
	return w.store.locked(ctx, func() error {
		for o, err := range w.store.Objects(ctx, time.Time{}, forever()) {
			if err != nil {
				return err
			}
			file := w.store.path(o.Name)
			info, err := os.Stat(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			_, indexErr := os.Stat(file + indexExtension)
			if !isFinished(info) || indexErr != nil {
				w.finish(o.Name)
			}
		}
		return nil
	})
}

func forever() time.Time { return time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC) }

// sweep removes what processes that were killed have begun to write: a copy of events that nobody
// looks for there, and forget would not find.
func (s *Store) sweep() error {
	return filepath.WalkDir(s.dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), newPrefix) {
			return err
		}
		if info, err := d.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			os.Remove(file)
		}
		return nil
	})
}

// maintain does what Puts need not wait for.
func (w *Writer) maintain() {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-w.wake:
		case <-ticker.C:
			w.rotate()
			if err := w.store.sweep(); err != nil && !errors.Is(err, fs.ErrNotExist) { // pruned meanwhile
				w.options.Log.Warn("look for files of killed processes in the archive", "error", err)
			}
		case <-w.closing:
			w.makeIndexes()
			return
		}
		w.makeIndexes()
		w.prune()
	}
}

// rotate finishes the file of an hour that has passed without another Put.
func (w *Writer) rotate() {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	if w.file == nil || w.fits(time.Now()) {
		return
	}
	err := w.store.locked(context.Background(), func() error {
		w.retire()
		return nil
	})
	if err != nil {
		w.options.Log.Warn("finish an object of the archive", "object", w.name, "error", err)
	}
}

func (w *Writer) makeIndexes() {
	for {
		w.mu.Lock()
		if len(w.toIndex) == 0 {
			w.mu.Unlock()
			return
		}
		o := w.toIndex[0]
		w.toIndex = w.toIndex[1:]
		w.mu.Unlock()
		if _, err := w.store.index(context.Background(), o); err != nil && !errors.Is(err, archive.ErrNotFound) {
			w.options.Log.Warn("make the index of an object of the archive", "object", o.Name, "error", err)
		}
	}
}

// prune removes the objects that are too old, and the oldest while there are too many bytes.
func (w *Writer) prune() {
	w.turn <- struct{}{}
	active := ""
	if w.file != nil {
		active = w.name
	}
	<-w.turn
	objects, total, err := w.list()
	if err != nil {
		w.options.Log.Warn("look for what is too old in the archive", "error", err)
		return
	}
	var removed Removed
	for len(objects) > 0 && (w.tooOld(objects[0].Hour) || w.options.MaxBytes > 0 && total > w.options.MaxBytes) {
		o := objects[0]
		if o.Name == active { // it is begun anew when it has reached its part of the bound
			break
		}
		records := w.store.records(o.Object)
		err := w.store.locked(context.Background(), func() error { return w.store.remove(o.Name) })
		if err != nil {
			w.options.Log.Warn("remove the oldest object of the archive", "object", o.Name, "error", err)
			break
		}
		removed.Objects++
		removed.Records += records
		removed.Bytes += o.bytes
		total -= o.bytes
		objects = objects[1:]
	}
	if removed.Objects > 0 {
		w.options.Log.Info("the archive's bounds removed its oldest objects", "objects", removed.Objects,
			"records", removed.Records, "bytes", removed.Bytes, "max_age", w.options.MaxAge, "max_bytes", w.options.MaxBytes)
	}
	w.count(objects, total, removed)
}

func (w *Writer) count(objects []sized, total int64, removed Removed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Objects, w.stats.Bytes, w.stats.Oldest = len(objects), total, time.Time{}
	if len(objects) > 0 {
		w.stats.Oldest = objects[0].Hour
	}
	w.stats.Removed.Objects += removed.Objects
	w.stats.Removed.Records += removed.Records
	w.stats.Removed.Bytes += removed.Bytes
}

// tooOld reports whether all records of an hour's objects are too old.
func (w *Writer) tooOld(hour time.Time) bool {
	return w.options.MaxAge > 0 && time.Since(hour.Add(time.Hour)) > w.options.MaxAge
}

type sized struct {
	archive.Object
	bytes int64 // with its index
}

func (w *Writer) list() (objects []sized, total int64, err error) {
	for o, err := range w.store.Objects(context.Background(), time.Time{}, forever()) {
		if err != nil {
			return nil, 0, err
		}
		s := sized{o, o.Size}
		if info, err := os.Stat(w.store.path(o.Name) + indexExtension); err == nil {
			s.bytes += info.Size()
		}
		objects = append(objects, s)
		total += s.bytes
	}
	return objects, total, nil
}
