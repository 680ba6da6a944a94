"""The names that documents give to the kernel's numbers: one for each, in their order."""

import numpy as np

from qrt import documents, kernel


def test_every_number_of_the_kernel_has_its_name():
    for names, codes, prefix in (
        (documents.MISS_CLASSES, kernel.MissClass, "late_"),
        (documents.MISS_POLICIES, kernel.Policy, ""),
        (documents.MISS_CAUSES, kernel.Cause, ""),
    ):
        assert list(codes) == list(range(len(codes)))
        assert list(names) == [prefix + code.name.lower() for code in codes]


def test_a_miss_of_each_kind_becomes_a_document():
    row = np.zeros(1, kernel.MISS_DTYPE)[0]
    for miss_class in kernel.MissClass:
        for policy in kernel.Policy:
            for cause in kernel.Cause:
                row["miss_class"], row["policy"], row["cause"] = miss_class, policy, cause
                document = documents.miss(row)
                found = (document["class"], document["policy"], document["cause"])
                assert found == (f"late_{miss_class.name.lower()}", policy.name.lower(), cause.name.lower())
