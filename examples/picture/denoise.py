"""Clean a noisy picture, tile by tile, on Ray, with a model that takes its time to load.

    pip install "skipstone[examples,ray]"
    python picture/denoise.py           # writes noisy.png and clean.png

Stop it whenever you like, and start it again: only the tiles that are missing are cleaned, and the model is loaded only
where there is one.
"""

import functools

import numpy as np
import ray
from PIL import Image
from sklearn.datasets import load_sample_image
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d

from skipstone import cache_with_checkpoint, init_checkpoint

TILE, MARGIN, PATCH = 61, 3, (7, 7)  # neighbours overlap, so that no seam is seen


@functools.cache  # once in each worker, when its first tile needs it
def model(name: str) -> MiniBatchDictionaryLearning:
    """Return what patches of pictures are made of, learned from another picture: as slow as loading a large model."""
    patches = flat(extract_patches_2d(grey(name), PATCH, max_patches=5000, random_state=0))
    learner = MiniBatchDictionaryLearning(
        100, alpha=1, max_iter=20, random_state=0, transform_algorithm="omp", transform_n_nonzero_coefs=2
    )
    return learner.fit(patches - patches.mean(axis=1, keepdims=True))


# The model's name stands for the model. The content of the tile does for the tile: its place may change.
@cache_with_checkpoint(id="(model_name, tile)")
def clean(model_name: str, tile: np.ndarray) -> np.ndarray:
    """Return a tile without its noise."""
    patches = flat(extract_patches_2d(tile, PATCH))
    means = patches.mean(axis=1, keepdims=True)
    learned = model(model_name)
    cleaned = learned.transform(patches - means) @ learned.components_ + means
    return reconstruct_from_patches_2d(cleaned.reshape(-1, *PATCH), tile.shape)


def flat(patches: np.ndarray) -> np.ndarray:
    return patches.reshape(len(patches), -1)


def grey(name: str) -> np.ndarray:
    """Return one of the pictures that come with scikit-learn: float64, from 0 to 1."""
    return load_sample_image(name).mean(axis=2) / 255


def save(picture: np.ndarray, path: str) -> None:
    Image.fromarray((picture.clip(0, 1) * 255).astype(np.uint8)).save(path)


def main() -> None:
    picture = grey("china.jpg")
    noisy = picture + np.random.default_rng(0).normal(0, 0.1, picture.shape)
    height, width = picture.shape
    corners = [(top, left) for top in range(0, height, TILE) for left in range(0, width, TILE)]
    framed = np.pad(noisy, MARGIN, mode="reflect")
    tiles = [framed[top : top + TILE + 2 * MARGIN, left : left + TILE + 2 * MARGIN] for top, left in corners]

    checkpoint = init_checkpoint("clean", {"artifacts_dir": "artifacts", "index_name": "china"})
    ray.init(include_dashboard=False, log_to_driver=False)  # or ray.init("auto"), on your cluster
    worker = ray.remote(num_cpus=1)  # what a worker needs; for a model on a GPU, ray.remote(num_gpus=1)
    results = checkpoint.map(functools.partial(clean, "flower.jpg"), tiles, executor=worker)
    cleaned = np.empty_like(noisy)
    for (top, left), tile in zip(corners, results, strict=True):
        cleaned[top : top + TILE, left : left + TILE] = tile[MARGIN:-MARGIN, MARGIN:-MARGIN]
    print(results.summary())

    for name, each in {"noisy": noisy, "clean": cleaned}.items():
        save(each, f"{name}.png")
        print(f"{name}.png: {np.abs(each - picture).mean():.1%} off the original")


if __name__ == "__main__":
    main()
