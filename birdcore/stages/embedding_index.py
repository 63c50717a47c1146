"""Stage `embedding_index`: the windows that a teacher has heard, by the likeness of their sounds.

No run has this step: `birdflow search` makes it of what is in the store, so the key names what it
holds, and more recordings are another index. Publishes the files of `birdcore/teachers/nearest.py`
and `windows.parquet`: of each embedding the recording, where the window lies in it (seconds), and
the number of the artifact that it comes from, among the step's inputs.
"""

from collections.abc import Sequence

from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

NAME, VERSION = "embedding_index", 1
WINDOWS = "windows.parquet"


def step(heard: Sequence[tuple[Ref, Ref]]) -> Step:
    """The index of a teacher's outputs.

    Args:
        heard: Outputs of one teacher, each with the cleaning of its recordings; the same ones make
            the same index in any order.
    """
    outputs, cleaned = zip(*sorted(heard), strict=True)
    return Step(NAME, VERSION, NAME, {}, {"heard": outputs, "clean": cleaned})


def run(job: Job) -> Metrics:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from birdcore.audio.cleaned import KEPT, read_kept
    from birdcore.audio.kept_time import in_recording
    from birdcore.teachers.nearest import write_nearest
    from birdcore.teachers.outputs import read_embeddings, read_teacher_info

    outputs = job.inputs("heard")
    if len({str(sorted(each.manifest.config["model"].items())) for each in outputs}) > 1:
        raise ValueError("embeddings of different teachers can't be compared")
    schema = pa.schema(
        [
            ("recording", pa.string()), ("start", pa.float64()), ("end", pa.float64()),
            ("part", pa.int32()),
        ]
    )  # fmt: skip
    pairs = list(zip(outputs, job.inputs("clean"), strict=True))
    files = [each / "heard.parquet" for each in outputs]
    count = sum(pq.read_metadata(file).num_rows for file in files)
    width = pq.read_schema(files[0]).field("embedding").type.byte_width // 2
    names = set[str]()

    def parts() -> Iterator[NDArray[np.float16]]:
        with pq.ParquetWriter(job.folder / WINDOWS, schema, use_dictionary=["recording"]) as writer:
            for number, (heard, cleaned) in enumerate(pairs):
                job.progress(number, len(pairs), heard.manifest.name)
                recordings, starts, embeddings = read_embeddings(heard / "heard.parquet")
                window_s = read_teacher_info(heard / "heard.parquet").window_s
                encoded = recordings.combine_chunks().dictionary_encode()
                rows, own = np.asarray(encoded.indices), encoded.dictionary.to_pylist()
                kept = read_kept(cleaned / KEPT)
                begin, end = np.empty((2, len(starts)))
                for row, name in enumerate(own):
                    at = rows == row
                    begin[at], end[at] = in_recording(kept[name], starts[at], window_s)
                part = pa.repeat(pa.scalar(number, pa.int32()), len(starts))
                columns = [pa.array(own, pa.string()).take(encoded.indices), begin, end, part]
                writer.write_table(pa.table(columns, schema=schema))
                names.update(own)
                yield embeddings
        job.progress(len(pairs), len(pairs), "")

    write_nearest(job.folder, parts(), count, width)
    return {"recordings": len(names), "windows": count, "width": width}
