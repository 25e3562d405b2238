package diskdir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// retry is how long Acquire waits before it tries again.
const retry = 5 * time.Millisecond

// Acquire is Lock, but waits for others that hold the lock for a moment. After patience it returns
// ErrLocked. It makes the directory of the lock file, if somebody has removed it.
func Acquire(ctx context.Context, path string, patience time.Duration) (io.Closer, error) {
	for begun := time.Now(); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		unlock, err := Lock(path)
		if errors.Is(err, fs.ErrNotExist) {
			if err = Make(filepath.Dir(path)); err == nil {
				continue
			}
		}
		if !errors.Is(err, ErrLocked) || time.Since(begun) >= patience {
			return unlock, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

// WriteFile writes a file that it makes or empties. A durable one survives a power cut, but for its
// name: see Sync.
func WriteFile(path string, content io.Reader, durable bool) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if durable && err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Rename puts the file from in the place of to, as a whole or not at all, and makes that survive a
// power cut if it is durable.
func Rename(from, to string, durable bool) error {
	if err := os.Rename(from, to); err != nil || !durable {
		return err
	}
	return Sync(filepath.Dir(to))
}
