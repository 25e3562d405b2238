package store

import (
	"path"
)

// Found is what Check found.
type Found struct {
	Messages map[uint32]int64 // readable ones, by queue id
	State    map[string][]byte
	Files    int
	Damage   Damage
}

// Check reads the log in a directory without changing anything.
func Check(fsys FS, dir string) (Found, error) {
	r := &replay{fs: fsys, dir: dir, state: map[string][]byte{}}
	if err := r.run(); err != nil {
		return Found{}, err
	}
	f := Found{Messages: map[uint32]int64{}, State: r.state, Files: len(r.segments), Damage: r.damage}
	for _, s := range r.segments {
		for _, m := range s.messages {
			if m != nil {
				f.Messages[m.Queue]++
			}
		}
	}
	return f, nil
}

// TryLock locks a directory that has a log, as far as that changes nothing in it. The error is that
// of a directory in use.
func TryLock(fsys FS, dir string) (unlock func(), err error) {
	name := path.Join(dir, lockName)
	if _, err := fsys.Size(name); err != nil {
		return func() {}, nil // no process has used it, or it is a copy
	}
	lock, err := fsys.Lock(name)
	if Locked(err) {
		return nil, err
	}
	if err != nil {
		return func() {}, nil // a directory that is not writable can be read
	}
	return func() { _ = lock.Close() }, nil
}
