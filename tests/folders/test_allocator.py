import ctypes

from genre_gen.folders.allocator import return_freed_memory


def test_a_library_without_the_function_changes_nothing(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    return_freed_memory()


def test_the_allocator_is_asked_for_all_it_can_spare(monkeypatch):
    asked = []

    class Library:
        malloc_trim = staticmethod(asked.append)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library)
    monkeypatch.setattr("sys.platform", "linux")
    return_freed_memory()
    assert asked == [0]
