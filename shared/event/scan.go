package event

import "github.com/spillwayhq/spillway/shared/rawjson"

// field is a field of an event that Spillway reads.
type field uint8

const (
	fieldType field = iota
	fieldMessageID
	fieldTimestamp
	fieldSentAt
	fieldContext
	fieldWriteKey
	numEditable // enrichment may change those above; only the rules look at those below
)

const (
	fieldEvent = iota + numEditable
	fieldUserID
	fieldAnonymousID
	fieldGroupID
	fieldPreviousID
	fieldProperties
	fieldTraits
	fieldName
	fieldCategory
	numFields
)

// otherField is every other field.
const otherField = numFields

// values are the JSON values of an event's fields, nil where one is absent. Of duplicate keys the
// last one counts, as it does for Segment.
type values [numFields][]byte

func fieldOf(key []byte) field {
	switch string(key) {
	case "type":
		return fieldType
	case "messageId":
		return fieldMessageID
	case "timestamp":
		return fieldTimestamp
	case "sentAt":
		return fieldSentAt
	case "context":
		return fieldContext
	case "writeKey":
		return fieldWriteKey
	case "event":
		return fieldEvent
	case "userId":
		return fieldUserID
	case "anonymousId":
		return fieldAnonymousID
	case "groupId":
		return fieldGroupID
	case "previousId":
		return fieldPreviousID
	case "properties":
		return fieldProperties
	case "traits":
		return fieldTraits
	case "name":
		return fieldName
	case "category":
		return fieldCategory
	}
	return otherField
}

// scan reads one event into e and v, which must be empty. pathType is the type that the
// request's path names, which counts whatever the event says; empty: the event's own counts. p,
// unless nil, gets the places of the fields that enrichment may change.
func (e *Event) scan(s *rawjson.Scanner, document []byte, pathType string, v *values, p *places) error {
	s.TakeFlaws()
	if s.Peek() != '{' {
		e.Raw, e.Problem = s.Value(), NotAnObject
		return s.Err()
	}
	start, outer := s.Offset(), s.Depth()
	s.Enter('{')
	for {
		before := s.Offset()
		key, ok := s.Field()
		if !ok {
			break
		}
		value := s.Value()
		f := fieldOf(key)
		if f == otherField {
			continue
		}
		v[f] = value
		to := s.Offset() - start
		at := span{uint32(to - len(value)), uint32(to)}
		switch f {
		case fieldMessageID:
			e.id = at
		case fieldTimestamp:
			e.timestamp = at
		case fieldEvent:
			e.name = at
		case fieldUserID:
			e.user = at
		}
		if p != nil && f < numEditable {
			p.add(place{f, uint32(before - start), at})
		}
	}
	if s.Err() != nil {
		return s.Err()
	}
	e.Raw = document[start:s.Offset()]
	if pathType != "" {
		v[fieldType] = typeValue(pathType)
	}
	e.kind = kindOf(v[fieldType])
	flaws := s.TakeFlaws()
	e.Problem = validate(e.Raw, flaws, flaws.Depth-outer, v)
	e.empty = v.emptyNames()
	return nil
}

// typeValue is the JSON of a type, without an allocation; nil for a type that Segment does not
// know.
func typeValue(kind string) []byte {
	switch kind {
	case "track":
		return []byte(`"track"`)
	case "identify":
		return []byte(`"identify"`)
	case "page":
		return []byte(`"page"`)
	case "screen":
		return []byte(`"screen"`)
	case "group":
		return []byte(`"group"`)
	case "alias":
		return []byte(`"alias"`)
	}
	return nil
}
