package forget

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/spillwayhq/spillway/shared/archive"
)

// maxObject bounds an object that is rewritten, which is in memory twice. Firehose's objects have
// at most 128 MiB.
const maxObject = 1 << 30

// tries is how often a rewrite begins again because the object has changed.
const tries = 3

// ErrUnsafe says that a rewritten object was not what it must be, and that the old one remains.
var ErrUnsafe = errors.New("the rewritten object does not hold exactly the other lines: the object remains as it was")

// rewrite removes the lines that selects names from an object, and returns the object as it is
// then. gone: there is nothing left in it, or it has expired.
func rewrite(ctx context.Context, store archive.Store, o archive.Object,
	selects func(line []byte) bool) (now archive.Object, gone bool, err error) {
	for try := 1; ; try++ {
		now, gone, err = rewriteOnce(ctx, store, o, selects)
		switch {
		case errors.Is(err, archive.ErrNotFound):
			return o, true, nil
		case errors.Is(err, archive.ErrChanged) && try < tries:
			continue
		case err != nil:
			return now, false, fmt.Errorf("rewrite %s: %w", o.Name, err)
		}
		return now, gone, nil
	}
}

func rewriteOnce(ctx context.Context, store archive.Store, o archive.Object,
	selects func(line []byte) bool) (now archive.Object, gone bool, err error) {
	if o, err = store.Finish(ctx, o); err != nil {
		return o, false, err
	}
	old, err := read(ctx, store, o)
	if err != nil {
		return o, false, err
	}
	content, removed, err := without(old, selects)
	if err != nil || removed == 0 {
		return o, false, err
	}
	if err := verify(old, content, selects); err != nil {
		return o, false, err
	}
	if err := ctx.Err(); err != nil {
		return o, false, context.Cause(ctx)
	}
	if len(content) == 0 {
		return o, true, store.Delete(ctx, o)
	}
	now, err = store.Replace(ctx, o, bytes.NewReader(content))
	return now, false, err
}

// read returns all of an object.
func read(ctx context.Context, store archive.Store, o archive.Object) ([]byte, error) {
	if o.Size > maxObject {
		return nil, fmt.Errorf("it has %d bytes, and at most %d can be rewritten", o.Size, maxObject)
	}
	content, err := store.Open(ctx, o, 0)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	data := bytes.NewBuffer(make([]byte, 0, o.Size+bytes.MinRead))
	if _, err := io.Copy(data, io.LimitReader(content, maxObject)); err != nil {
		return nil, err
	}
	if int64(data.Len()) != o.Size { // it is another one already
		return nil, archive.ErrChanged
	}
	return data.Bytes(), nil
}

// without returns an object's content without the selected lines, and how many these are. All bytes
// outside the frames that hold one are those of old.
func without(old []byte, selects func(line []byte) bool) (content []byte, removed int, err error) {
	packer, err := archive.NewPacker()
	if err != nil {
		return nil, 0, err
	}
	r, err := archive.NewReader(bytes.NewReader(old), 0)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	copied := int64(0) // of old, in content
	for {
		block, err := r.Next()
		if damage := (*archive.DamageError)(nil); errors.As(err, &damage) {
			continue // it is copied
		} else if errors.Is(err, io.EOF) {
			return append(content, old[copied:]...), removed, nil
		} else if err != nil {
			return nil, 0, err
		}
		n := 0
		for line := range block.Lines() {
			if selects(line) {
				n++
			}
		}
		if n == 0 && !block.Partial { // of a partial frame other blocks may have some
			continue
		}
		for line := range block.Lines() {
			if !selects(line) {
				packer.AddLine(line, 0)
			}
		}
		content = append(content, old[copied:block.Offset]...)
		copied = block.Offset + block.Bytes
		for _, f := range packer.Frames() {
			content = append(content, f.Data...)
		}
		removed += n
	}
}

// verify reads both contents and compares them.
func verify(old, content []byte, selects func(line []byte) bool) error {
	want, err := digest(old, selects, false)
	if err != nil {
		return err
	}
	got, err := digest(content, selects, true)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, got) {
		return ErrUnsafe
	}
	return nil
}

// digest is the hash of an object's lines, in their order, without the selected ones, and of what
// can't be read. With none, a selected line is an error.
func digest(content []byte, selects func(line []byte) bool, none bool) ([]byte, error) {
	r, err := archive.NewReader(bytes.NewReader(content), 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	sum := sha256.New()
	for {
		block, err := r.Next()
		if damage := (*archive.DamageError)(nil); errors.As(err, &damage) {
			write(sum, content[damage.Offset:damage.Offset+damage.Bytes])
			continue
		} else if errors.Is(err, io.EOF) {
			return sum.Sum(nil), nil
		} else if err != nil {
			return nil, err
		}
		for line := range block.Lines() {
			switch {
			case !selects(line):
				write(sum, line)
			case none:
				return nil, ErrUnsafe
			}
		}
	}
}

// write adds a text to a hash so that it is told from the next one.
func write(sum hash.Hash, text []byte) {
	fmt.Fprintf(sum, "%d:", len(text))
	sum.Write(text)
}
