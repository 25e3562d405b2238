package dirstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"runtime"
	"slices"
	"sort"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/diskdir"
)

// The index of an object says in which of its frames an event may be. It is made from the object
// when that is finished, and again when it is missing, damaged, or not of the object's size. A
// record in parts is in it with the frame of its first part. It is a header and pages:
//
//	header  "spillwix" · version u32 · object's size u64 · records u64 · entries u64 · CRC of these u32
//	page    341 entries, or the rest of them · zeros · CRC of the page so far u32
//	entry   term u64 · offset of the frame u32
//
// Numbers are big-endian, CRCs are CRC32C. Entries are sorted, so that a search reads a few pages.
const (
	indexMagic   = "spillwix"
	indexVersion = 1
	indexHeader  = 40
	entryBytes   = 12
	pageEntries  = 341
	pageBytes    = pageEntries*entryBytes + 4
	// maxIndexed bounds an object that gets an index, in bytes: an entry has 32 bits for the
	// offset. A Writer's objects are far smaller.
	maxIndexed = 1<<32 - 1
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errIndex   = errors.New("the index is damaged, or of another object")
)

type entry struct {
	term   archive.Term
	offset int64 // of the frame
}

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.term, b.term), cmp.Compare(a.offset, b.offset))
}

// An index is what an object has in it.
type index struct {
	size    int64 // of the object
	records int64
	entries []entry // sorted, each once
}

// scan makes the index of an object by reading it. Damage in the object costs only what is damaged.
func scan(ctx context.Context, object io.Reader, size int64) (index, error) {
	ix := index{size: size}
	var terms []archive.Term
	var joiner archive.Joiner
	begins := map[string]int64{} // the frames in which records in parts begin
	found := func(line archive.Line) error {
		r, err := archive.ParseRecord(line.Data)
		if err != nil {
			return nil // nobody can find it
		}
		if r.Parts == 0 || r.Part == 1 {
			ix.records++
		}
		at := line.Offset
		if whole := r.Whole; r.Parts > 0 {
			if begin, known := begins[whole]; known {
				at = begin
			}
			begins[whole] = at
			var ok bool
			if r, ok, _ = joiner.Add(r); !ok {
				return nil
			}
			delete(begins, whole)
		}
		terms = archive.AppendTerms(terms[:0], &r)
		for _, t := range terms {
			ix.entries = append(ix.entries, entry{t, at})
		}
		return nil
	}
	_, err := archive.Select(ctx, object, 0, runtime.GOMAXPROCS(0), func([]byte) bool { return true }, found)
	if err != nil {
		return index{}, err
	}
	slices.SortFunc(ix.entries, compareEntries)
	ix.entries = slices.Compact(ix.entries)
	return ix, nil
}

// encode returns the index's file.
func (ix *index) encode() []byte {
	pages := (len(ix.entries) + pageEntries - 1) / pageEntries
	b := make([]byte, 0, indexHeader+pages*pageBytes)
	b = append(b, indexMagic...)
	b = binary.BigEndian.AppendUint32(b, indexVersion)
	for _, n := range []int64{ix.size, ix.records, int64(len(ix.entries))} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	for page := range slices.Chunk(ix.entries, pageEntries) {
		start := len(b)
		for _, e := range page {
			b = binary.BigEndian.AppendUint64(b, uint64(e.term))
			b = binary.BigEndian.AppendUint32(b, uint32(e.offset))
		}
		b = append(b, make([]byte, (pageEntries-len(page))*entryBytes)...)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	}
	return b
}

// readHeader reads the header of an index, whose entries stay in the file.
func readHeader(r io.ReaderAt) (ix index, entries int, err error) {
	b := make([]byte, indexHeader)
	if _, err := r.ReadAt(b, 0); err != nil {
		return index{}, 0, errIndex
	}
	if string(b[:8]) != indexMagic || binary.BigEndian.Uint32(b[8:]) != indexVersion ||
		binary.BigEndian.Uint32(b[36:]) != crc32.Checksum(b[:36], castagnoli) {
		return index{}, 0, errIndex
	}
	ix.size, ix.records = int64(binary.BigEndian.Uint64(b[12:])), int64(binary.BigEndian.Uint64(b[20:]))
	return ix, int(binary.BigEndian.Uint64(b[28:])), nil
}

// A search reads the entries of an index in its file, a page at a time.
type search struct {
	file    io.ReaderAt
	entries int
	page    []byte
	loaded  int // page; -1: none
	err     error
}

// entry returns an entry; any after an error.
func (s *search) entry(i int) entry {
	if n := i / pageEntries; n != s.loaded && s.err == nil {
		const sum = pageBytes - 4
		_, err := s.file.ReadAt(s.page, indexHeader+int64(n)*pageBytes)
		if err != nil || binary.BigEndian.Uint32(s.page[sum:]) != crc32.Checksum(s.page[:sum], castagnoli) {
			s.err = errIndex
		}
		s.loaded = n
	}
	at := s.page[i%pageEntries*entryBytes:]
	return entry{archive.Term(binary.BigEndian.Uint64(at)), int64(binary.BigEndian.Uint32(at[8:]))}
}

// offsets returns the frames that have a term.
func (s *search) offsets(t archive.Term) (offsets []int64, err error) {
	i := sort.Search(s.entries, func(i int) bool { return s.entry(i).term >= t })
	for ; i < s.entries && s.err == nil; i++ {
		e := s.entry(i)
		if e.term != t {
			break
		}
		offsets = append(offsets, e.offset)
	}
	return offsets, s.err
}

// searchFile looks a term up in the index of an object.
func searchFile(file string, o archive.Object, t archive.Term) ([]int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	header, entries, err := readHeader(f)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || header.size != o.Size || entries < 0 || int64(entries) > info.Size()/entryBytes {
		return nil, errIndex
	}
	s := search{file: f, entries: entries, page: make([]byte, pageBytes), loaded: -1}
	return s.offsets(t)
}

// records returns how many records an object has, by its index; 0: unknown.
func (s *Store) records(o archive.Object) int64 {
	f, err := os.Open(s.path(o.Name) + indexExtension)
	if err != nil {
		return 0
	}
	defer f.Close()
	if ix, _, err := readHeader(f); err == nil && ix.size == o.Size {
		return ix.records
	}
	return 0
}

// index makes the index of an object, and writes it if the object is finished. One that can't be
// written is no error: it is made again by whoever needs it.
func (s *Store) index(ctx context.Context, o archive.Object) (index, error) {
	f, err := os.Open(s.path(o.Name))
	if err != nil {
		return index{}, translate(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return index{}, err
	}
	r, err := section(f, 0)
	if err != nil {
		return index{}, err
	}
	ix, err := scan(ctx, r, info.Size())
	if err != nil || !isFinished(info) || ix.size > maxIndexed {
		return ix, err
	}
	file := s.path(o.Name) + indexExtension
	written, err := s.writeNew(file, bytes.NewReader(ix.encode()), false) // what a power cut damages is made again
	if err != nil {
		return ix, nil
	}
	defer os.Remove(written)
	_ = s.locked(ctx, func() error { // the object may have been replaced meanwhile
		now, err := os.Stat(s.path(o.Name))
		if err != nil || !os.SameFile(info, now) {
			return err
		}
		return diskdir.Rename(written, file, false)
	})
	return ix, nil
}

// Find returns the frames in which a term may be, by the objects' indexes: see archive.Finder. It
// makes those that are missing, and reads what is being written.
func (s *Store) Find(ctx context.Context, from, to time.Time, t archive.Term) iter.Seq2[archive.Place, error] {
	return func(yield func(archive.Place, error) bool) {
		for o, err := range s.Objects(ctx, from, to) {
			if err != nil {
				yield(archive.Place{}, err)
				return
			}
			offsets, err := s.find(ctx, o, t)
			if errors.Is(err, archive.ErrNotFound) { // pruned meanwhile
				continue
			}
			if err != nil && !yield(archive.Place{}, fmt.Errorf("look into %s: %w", o.Name, err)) {
				return
			}
			for _, offset := range offsets {
				if !yield(archive.Place{Object: o, Offset: offset}, nil) {
					return
				}
			}
		}
	}
}

func (s *Store) find(ctx context.Context, o archive.Object, t archive.Term) (offsets []int64, err error) {
	offsets, err = searchFile(s.path(o.Name)+indexExtension, o, t)
	if err == nil {
		return offsets, nil
	}
	ix, err := s.index(ctx, o)
	if err != nil {
		return nil, err
	}
	return ix.find(t), nil
}

func (ix *index) find(t archive.Term) (offsets []int64) {
	i, _ := slices.BinarySearchFunc(ix.entries, entry{term: t}, compareEntries)
	for ; i < len(ix.entries) && ix.entries[i].term == t; i++ {
		offsets = append(offsets, ix.entries[i].offset)
	}
	return offsets
}
