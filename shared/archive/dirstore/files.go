package dirstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/diskdir"
)

// checkFile refuses also what leads to the store's own files, or is no name to every file system.
func checkFile(name string) error {
	if err := archive.CheckFileName(name); err != nil {
		return err
	}
	bad := strings.ContainsAny(name, "\\\x00:") || len(name) > 200 || name[0] >= '0' && name[0] <= '9'
	for part := range strings.SplitSeq(name, "/") {
		bad = bad || strings.HasPrefix(part, ".")
	}
	if bad {
		return fmt.Errorf("the name of a file beside the archive in a directory can't be %q: %w", name, fs.ErrInvalid)
	}
	return nil
}

func (s *Store) file(ctx context.Context, name string) (string, error) {
	if err := errors.Join(ctx.Err(), checkFile(name)); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, filepath.FromSlash(name)), nil
}

// Files returns the names of the files that begin with a prefix: see archive.Store.
func (s *Store) Files(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var names []string
		err := filepath.WalkDir(s.dir, func(file string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(s.dir, file)
			name := filepath.ToSlash(rel)
			switch {
			case errors.Is(err, fs.ErrNotExist): // removed meanwhile, or nothing was written yet
				return nil
			case err != nil:
				return err
			case name == ".":
				return ctx.Err()
			case d.IsDir() && (checkFile(name) != nil ||
				!strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/")):
				return fs.SkipDir
			case !d.IsDir() && checkFile(name) == nil && strings.HasPrefix(name, prefix):
				names = append(names, name)
			}
			return ctx.Err()
		})
		slices.Sort(names)
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
		if err != nil {
			yield("", fmt.Errorf("list the files beside the archive: %w", err))
		}
	}
}

// ReadFile returns a file: see archive.Store.
func (s *Store) ReadFile(ctx context.Context, name string) ([]byte, error) {
	file, err := s.file(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, translate(err))
	}
	return data, nil
}

// WriteFile writes a file as a whole or not at all: see archive.Store. It survives a power cut.
func (s *Store) WriteFile(ctx context.Context, name string, data []byte) error {
	file, err := s.file(ctx, name)
	if err != nil {
		return err
	}
	err = diskdir.Make(filepath.Dir(file))
	if err == nil {
		var written string
		if written, err = s.writeNew(file, bytes.NewReader(data), true); err == nil {
			err = diskdir.Rename(written, file, true)
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// DeleteFile removes a file: see archive.Store.
func (s *Store) DeleteFile(ctx context.Context, name string) error {
	file, err := s.file(ctx, name)
	if err != nil {
		return err
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", file, err)
	}
	return nil
}
